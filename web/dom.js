// dom.js - elements from calls: h('button', { onclick }, 'Kick'). Text becomes text nodes, always: nothing here or elsewhere in web/ parses HTML, so a
// client id that looks like a script is shown as it is.

const PROPERTIES = new Set(['value', 'checked', 'disabled', 'selected', 'open', 'indeterminate'])

export function h (tag, attributes, ...children) {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value)
    else if (PROPERTIES.has(name)) element[name] = value
    else element.setAttribute(name, value === true ? '' : value)
  }
  append(element, children)
  return element
}

function append (element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue
    element.append(child instanceof Node ? child : document.createTextNode(String(child)))
  }
}

// Puts children in place of what is in the element.
export function fill (element, ...children) {
  element.replaceChildren()
  append(element, children)
  return element
}

// ---- numbers and times -------------------------------------------------------------------------------------------------

const SCALES = [[1e9, 'G'], [1e6, 'M'], [1e3, 'k']]

export function short (number) {
  if (number === null || number === undefined || !isFinite(number)) return '–'
  for (const [scale, letter] of SCALES) if (Math.abs(number) >= scale) return `${(number / scale).toPrecision(3)} ${letter}`
  return Number.isInteger(number) ? String(number) : number.toPrecision(3)
}

export function bytes (number) {
  if (number === null || number === undefined) return '–'
  for (const [power, unit] of [[3, 'GiB'], [2, 'MiB'], [1, 'KiB']]) if (number >= 1024 ** power) return `${(number / 1024 ** power).toFixed(1)} ${unit}`
  return `${Math.round(number)} B`
}

export function seconds (value) {
  if (value === null || value === undefined) return '–'
  if (value < 1e-3) return `${(value * 1e6).toFixed(value < 1e-5 ? 1 : 0)} µs`
  if (value < 1) return `${(value * 1e3).toFixed(value < 1e-2 ? 2 : 1)} ms`
  return `${value.toFixed(2)} s`
}

export function duration (value) {
  const days = Math.floor(value / 86400); const hours = Math.floor(value / 3600) % 24; const minutes = Math.floor(value / 60) % 60
  if (days) return `${days} d ${hours} h`
  if (hours) return `${hours} h ${minutes} min`
  return minutes ? `${minutes} min ${Math.floor(value % 60)} s` : `${Math.floor(value)} s`
}

export function time (text) {
  if (!text) return '–'
  const when = new Date(text)
  return h('time', { datetime: text, title: text }, when.toLocaleString([], { dateStyle: 'short', timeStyle: 'medium' }))
}

// ---- pieces of pages ---------------------------------------------------------------------------------------------------

// columns: [{ name, label, cell(row), number, sort }]; sorting: { by, order, change(by, order) }
export function table (caption, columns, rows, { sorting, empty = 'Nothing here.', key } = {}) {
  const head = columns.map((column) => {
    const sorted = sorting && column.sort && sorting.by === column.name
    const next = sorted && sorting.order === 'desc' ? 'asc' : 'desc'
    return h('th', { scope: 'col', class: column.number ? 'number' : null, 'aria-sort': sorted ? (sorting.order === 'asc' ? 'ascending' : 'descending') : null },
      sorting && column.sort
        ? h('button', { type: 'button', class: 'sort', onclick: () => sorting.change(column.name, next) }, column.label, sorted ? (sorting.order === 'asc' ? ' ▲' : ' ▼') : '')
        : column.label)
  })
  const body = rows.map((row) => h('tr', key ? { 'data-key': key(row) } : null,
    columns.map((column) => h('td', { class: column.number ? 'number' : column.class }, column.cell ? column.cell(row) : row[column.name] ?? '–'))))
  return h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': caption },
    h('table', null, h('caption', { class: 'hidden' }, caption), h('thead', null, h('tr', null, head)), h('tbody', null, body)),
    rows.length === 0 && h('p', { class: 'empty' }, empty))
}

export function pager (meta, go) {
  return h('nav', { class: 'pager', 'aria-label': 'Pages' },
    h('button', { type: 'button', disabled: meta.page <= 1, onclick: () => go(meta.page - 1) }, '← Previous'),
    h('span', null, `Page ${meta.page}`, meta.count !== null && meta.count !== undefined ? ` of ${Math.max(1, Math.ceil(meta.count / meta.limit))} (${meta.count} rows)` : ''),
    h('button', { type: 'button', disabled: !meta.hasnext, onclick: () => go(meta.page + 1) }, 'Next →'))
}

export function field (label, control, hint) {
  return h('label', { class: 'field' }, h('span', null, label), control, hint && h('small', null, hint))
}

export function select (options, attributes) {
  const element = h('select', attributes, options.map(([value, label]) => h('option', { value }, label)))
  if (attributes?.value !== undefined) element.value = attributes.value
  return element
}

export function facts (pairs) {
  return h('dl', { class: 'facts' }, pairs.filter(Boolean).map(([name, value]) => h('div', null, h('dt', null, name), h('dd', null, value ?? '–'))))
}

export function badge (text, kind) { return h('span', { class: `badge ${kind ?? ''}` }, text) }

// A message at the foot of the page that goes by itself; errors stay until clicked.
export function toast (text, kind = 'good') {
  const area = document.getElementById('toasts')
  const one = h('button', { type: 'button', class: `toast ${kind}`, title: 'Dismiss', onclick: () => one.remove() }, text)
  area.append(one)
  if (kind === 'good') setTimeout(() => one.remove(), 4000)
}

// Runs what a button does: errors become a toast, the button waits meanwhile.
export function act (work, done) {
  return async (event) => {
    event?.preventDefault?.()
    const button = event?.submitter ?? (event?.currentTarget instanceof HTMLButtonElement ? event.currentTarget : null)
    if (button) button.disabled = true
    try {
      await work(event)
      if (done) toast(done)
    } catch (error) {
      if (error.name !== 'AbortError') toast(error.message, 'bad') // aborted: another page is shown by now
    } finally {
      if (button) button.disabled = false
    }
  }
}

// A dialog of the browser's own: focus stays inside, Escape closes. Resolves with what content(close) closes it with.
export function dialog (title, content) {
  return new Promise((resolve) => {
    let result
    const close = (value) => { result = value; element.close() }
    const element = h('dialog', { 'aria-label': title, onclose: () => { element.remove(); resolve(result) } },
      h('header', null, h('h2', null, title), h('button', { type: 'button', class: 'plain', 'aria-label': 'Close', onclick: () => close() }, '✕')))
    append(element, [content(close)])
    document.body.append(element)
    element.showModal()
  })
}

export function confirm (question, action) {
  return dialog('Sure?', (close) => h('form', { method: 'dialog', onsubmit: (event) => { event.preventDefault(); close(true) } },
    h('p', null, question),
    h('div', { class: 'buttons' }, h('button', { type: 'button', onclick: () => close(false) }, 'Cancel'), h('button', { class: 'danger', autofocus: true }, action))))
}
