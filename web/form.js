// form.js - fields, and dialogs made of them.
import { h } from './dom.js'
import { dialog } from './dialog.js'

export function field (label, control, hint) {
  return h('label', { class: 'field' }, h('span', null, label), control, hint && h('small', null, hint))
}

// options: [[value, label]]
export function select (options, attributes) {
  const element = h('select', attributes, options.map(([value, label]) => h('option', { value }, label)))
  if (attributes?.value !== undefined) element.value = attributes.value
  return element
}

// A dialog with these controls: [[name, label, control, hint]]. send(values) is called with what is not empty; when it fails, what it says stands in the dialog,
// which stays with everything that was typed. Resolves with what send() gave, or undefined: given up.
export function ask (title, controls, action, send = (values) => values, { about, kind = 'primary', wide } = {}) {
  return dialog(title, (close) => {
    const problem = h('p', { class: 'problem', role: 'alert' })
    const taken = (control) => control.type === 'checkbox' ? control.checked : control.value
    return h('form', { method: 'dialog', onsubmit: async (event) => {
      event.preventDefault()
      problem.textContent = ''
      const button = event.submitter ?? event.currentTarget.querySelector('button.go')
      if (button.ariaBusy === 'true') return
      button.ariaBusy = 'true'
      try {
        const values = Object.fromEntries(controls.map(([name, , control]) => [name, taken(control)]).filter(([, value]) => value !== ''))
        close(await send(values) ?? true)
      } catch (error) {
        problem.textContent = error.message
      } finally {
        button.ariaBusy = null
      }
    } },
    about && h('p', { class: 'text' }, about), controls.map(([, label, control, hint]) => field(label, control, hint)), problem,
    h('div', { class: 'buttons' }, h('button', { type: 'button', onclick: () => close() }, 'Cancel'), h('button', { class: `go ${kind}` }, action)))
  }, { wide })
}

// The controls of an expiry: a span of time, or a moment. value(): RFC 3339, or null: for good.
export function expiry () {
  const moment = h('input', { type: 'datetime-local', hidden: true, 'aria-label': 'Until when' })
  const span = select([['', 'for good'], ['300', 'for 5 minutes'], ['3600', 'for 1 hour'], ['86400', 'for 1 day'], ['604800', 'for 7 days'], ['2592000', 'for 30 days'], ['until', 'until …']],
    { name: 'expiry', onchange: () => { moment.hidden = span.value !== 'until'; moment.required = !moment.hidden } })
  return {
    element: h('span', { class: 'pair' }, span, moment),
    value: () => span.value === '' ? null : new Date(span.value === 'until' ? moment.value : Date.now() + Number(span.value) * 1000).toISOString().replace(/\.\d+Z$/, 'Z')
  }
}
