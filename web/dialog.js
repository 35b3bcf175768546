// dialog.js - dialogs, questions, and messages that come and go.
import { h, append } from './dom.js'

// A message at the foot of the page that goes by itself; errors stay until clicked.
export function toast (text, kind = 'good') {
  const area = document.getElementById('toasts')
  const one = h('button', { type: 'button', class: `toast ${kind}`, title: 'Dismiss', onclick: () => one.remove() }, text)
  area.append(one)
  if (area.childElementCount > 5) area.firstElementChild.remove()
  if (kind === 'good') setTimeout(() => one.remove(), 4000)
}

// Runs what a button does: errors become a toast; pressed again meanwhile it does nothing (and keeps the focus, which a disabled button would lose). Work that
// answers false was not done: nothing is said.
export function act (work, done) {
  return async (event) => {
    event?.preventDefault?.()
    const button = event?.submitter ?? (event?.currentTarget instanceof HTMLButtonElement ? event.currentTarget : null)
    if (button?.ariaBusy === 'true') return
    if (button) button.ariaBusy = 'true'
    try {
      if (await work(event) !== false && done) toast(done)
    } catch (error) {
      if (error.name !== 'AbortError') toast(error.message, 'bad') // aborted: another page is shown by now
    } finally {
      if (button) button.ariaBusy = null
    }
  }
}

// A dialog of the browser's own: focus stays inside, Escape closes, and the focus goes back. Resolves with what content(close) closes it with.
export function dialog (title, content, { wide } = {}) {
  return new Promise((resolve) => {
    let result
    const close = (value) => { result = value; element.close() }
    const element = h('dialog', { 'aria-label': title, class: wide && 'wide', onclose: () => { element.remove(); resolve(result) } },
      h('header', null, h('h2', null, title), h('button', { type: 'button', class: 'plain', 'aria-label': 'Close', onclick: () => close() }, '✕')))
    append(element, [content(close)])
    document.body.append(element)
    element.showModal()
  })
}

export function confirm (question, action) {
  return dialog('Sure?', (close) => h('form', { method: 'dialog', onsubmit: (event) => { event.preventDefault(); close(true) } },
    h('p', { class: 'text' }, question),
    h('div', { class: 'buttons' }, h('button', { type: 'button', onclick: () => close(false) }, 'Cancel'), h('button', { class: 'danger', autofocus: true }, action))))
}
