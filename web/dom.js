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

export function append (element, children) {
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

// What a control is, across two drawings of the same table: its row and its name.
const signature = (element) => [element.tagName, element.closest('[data-key]')?.dataset.key, element.getAttribute('aria-label') ?? element.textContent].join('\n')

// As fill(), but the focus stays on the same control of the same row, tables stay scrolled where they are, details stay open.
export function redraw (element, ...children) {
  const focused = element !== document.activeElement && element.contains(document.activeElement) ? document.activeElement : null
  const wanted = focused && signature(focused)
  const scrolled = [...element.querySelectorAll('.scroll')].map((one) => [one.scrollLeft, one.scrollTop])
  const opened = new Set([...element.querySelectorAll('details[open]')].map(signature))
  fill(element, children)
  element.querySelectorAll('.scroll').forEach((one, i) => { [one.scrollLeft, one.scrollTop] = scrolled[i] ?? [0, 0] })
  if (opened.size) for (const one of element.querySelectorAll('details')) one.open ||= opened.has(signature(one))
  if (focused) [...element.querySelectorAll(focused.tagName)].find((one) => signature(one) === wanted)?.focus({ preventScroll: true })
}

// As redraw(), for what is drawn again and again: not while text in it is marked (somebody copies a name).
export function refill (element, ...children) {
  const marked = getSelection()
  if (!marked || marked.isCollapsed || !element.contains(marked.anchorNode)) redraw(element, children)
}

// ---- small pieces of pages -----------------------------------------------------------------------------------------------

// [name, value] or nothing.
export function facts (pairs) {
  return h('dl', { class: 'facts' }, pairs.filter(Boolean).map(([name, value]) => h('div', null, h('dt', null, name), h('dd', null, value ?? '–'))))
}

export function badge (text, kind) { return h('span', { class: `badge ${kind ?? ''}` }, text) }

export const clientLink = (id) => h('a', { href: `#/clients/${encodeURIComponent(id)}` }, id)

// A button that does work; `name` where its text alone does not tell which of several it is.
export function button (text, onclick, { name, kind, disabled, id } = {}) {
  return h('button', { type: 'button', class: kind, 'aria-label': name, disabled, id, onclick }, text)
}
