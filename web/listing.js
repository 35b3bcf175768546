// listing.js - a page that is a form of filters, a table and a pager over one list of the API. What it shows stands in the address: a reload, a bookmark and the
// way back bring the same.
import { h, fill, redraw, refill } from './dom.js'
import { field, select } from './form.js'
import { act } from './dialog.js'
import { table, pager } from './table.js'
import { get, query } from './api.js'

// What is switched off answers 404 and says what to set.
export function switchedOff (message, like) {
  return h('div', { class: 'off' }, h('p', null, message), like && h('p', null, h('a', { href: `#/configuration?like_key=${encodeURIComponent(like)}` }, 'Its keys in the configuration')))
}

// title, path, empty    the list of the API, and what is said when nothing fits
// about                 a sentence or nodes below the title
// filters               [{ name, label, hint, options }]: text fields, or with options [[value, label]] a choice
// columns(tools)        of the table (table.js); tools: { load, view, rerender }
// actions(tools)        buttons above the table
// key(row)              what names a row
// seen(rows)            called with each new lot of rows
// sorts                 the API sorts: columns with sort have buttons
// every                 milliseconds between two looks
// off                   part of the keys that switch it on
// paged: false          the API gives all rows at once; always: { name: value } that every question has
export async function listing (root, context, { title, path, about, filters = [], columns, actions, empty, key, seen, sorts, every, off, limit = 50, paged = true, always = {} }) {
  const view = { page: 1, limit, ...context.query }
  view.page = Math.max(1, Number(view.page) || 1)
  view.limit = Math.min(10000, Math.max(1, Number(view.limit) || limit))
  const controls = filters.map((one) => [one, one.options
    ? select(one.options, { value: view[one.name] ?? '' })
    : h('input', { type: 'search', value: view[one.name] ?? '', placeholder: one.hint, spellcheck: 'false', autocomplete: 'off' })])
  const place = h('section'); const above = h('div', { class: 'buttons' })
  const change = (next) => act(async () => { Object.assign(view, next); await load(redraw) })()
  const sorting = sorts && { get by () { return view.sort }, get order () { return view.order ?? 'desc' }, change: (by, order) => change({ sort: by, order, page: 1 }) }
  let last
  const tools = { view, load, rerender: () => last && draw(redraw) }

  // A filter that came by the address and has no field here is kept: it was meant.
  function asked () {
    if (paged) return { ...always, ...view }
    const { page, limit, ...rest } = view
    return { ...always, ...rest }
  }

  function draw (how) {
    how(above, actions?.(tools))
    how(place, table(title, columns(tools), last.data, { sorting, empty, key }), paged && last.meta && pager(last.meta, change))
  }

  async function load (how = fill) {
    try {
      last = await get(`${path}${query(asked())}`, context.signal)
    } catch (error) {
      if (error.status !== 404 || !off) throw error
      last = undefined
      fill(above)
      fill(place, switchedOff(error.message, off))
      return
    }
    if (last.data.length === 0 && view.page > 1 && !last.meta?.hasnext) { view.page = 1; return await load(how) } // rows went away meanwhile
    seen?.(last.data, last.meta)
    const kept = { ...view }
    if (kept.page === 1) delete kept.page
    if (kept.limit === limit) delete kept.limit
    context.remember(kept)
    draw(how)
  }
  const again = act(async () => {
    for (const [one, control] of controls) view[one.name] = control.value
    view.page = 1
    await load()
  })
  fill(root, h('h1', null, title), about && h('p', { class: 'about' }, about),
    controls.length > 0 && h('form', { class: 'filters', role: 'search', onsubmit: again, onchange: (event) => { if (event.target.matches('select')) again(event) } }, controls.map(([one, control]) => field(one.label, control, one.note)), h('button', null, 'Search'),
      h('button', { type: 'button', onclick: (event) => { for (const [, control] of controls) control.value = ''; again(event) } }, 'Show all')),
    above, place)
  await load()
  if (every) context.every(every, () => load(refill))
}
