// table.js - tables of rows, and the way from page to page.
import { h } from './dom.js'

// columns: [{ name, label, cell(row), number, sort, class }], what is false is left out; sorting: { by, order, change(by, order) }
export function table (caption, columns, rows, { sorting, empty = 'Nothing here.', key } = {}) {
  const shown = columns.filter(Boolean)
  const head = shown.map((column) => {
    const sorted = sorting && column.sort && sorting.by === column.name
    const next = sorted && sorting.order === 'desc' ? 'asc' : sorted ? 'desc' : column.number ? 'desc' : 'asc'
    return h('th', { scope: 'col', class: column.number ? 'number' : null, title: column.title, 'aria-sort': sorted ? (sorting.order === 'asc' ? 'ascending' : 'descending') : null },
      sorting && column.sort ? h('button', { type: 'button', class: 'sort', onclick: () => sorting.change(column.name, next) }, column.label) : column.label)
  })
  const body = rows.map((row) => h('tr', key ? { 'data-key': key(row) } : null,
    shown.map((column) => {
      const content = column.cell ? column.cell(row) : row[column.name] ?? '–'
      return h('td', { class: column.number ? 'number' : column.class }, column.class === 'text' ? h('div', { class: 'clamp' }, content) : content)
    })))
  return h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': caption },
    rows.length > 0 && h('table', null, h('caption', { class: 'hidden' }, caption), h('thead', null, h('tr', null, head)), h('tbody', null, body)),
    rows.length === 0 && h('p', { class: 'empty' }, empty))
}

// Rows that are all here, sorted and cut in the page: by the column's value(row), or its name.
export function sorted (rows, columns, { by, order }) {
  const column = columns.find((one) => one && one.sort && one.name === by)
  if (!column) return rows
  const value = column.value ?? ((row) => row[column.name])
  const sign = order === 'asc' ? 1 : -1
  return rows.toSorted((a, b) => {
    const [x, y] = [value(a), value(b)]
    if (x === y) return 0
    if (x === null || x === undefined) return 1
    if (y === null || y === undefined) return -1
    return (x < y ? -1 : 1) * sign
  })
}

const LIMITS = [50, 100, 500]

// change({ page }) or change({ page: 1, limit }).
export function pager (meta, change) {
  const pages = meta.count !== null && meta.count !== undefined ? Math.max(1, Math.ceil(meta.count / meta.limit)) : null
  const move = (page, text, name, disabled) => h('button', { type: 'button', 'aria-label': name, disabled, onclick: () => change({ page }) }, text)
  const limits = LIMITS.includes(meta.limit) ? LIMITS : [meta.limit, ...LIMITS]
  const limit = h('select', { 'aria-label': 'Rows a page', onchange: (event) => { event.stopPropagation(); change({ page: 1, limit: Number(limit.value) }) } }, limits.map((one) => h('option', { value: one, selected: one === meta.limit }, `${one} rows`)))
  return h('nav', { class: 'pager', 'aria-label': 'Pages' },
    move(1, '⇤', 'First page', meta.page <= 1), move(meta.page - 1, '← Previous', null, meta.page <= 1),
    h('span', null, `Page ${meta.page}`, pages !== null ? ` of ${pages} (${meta.count} ${meta.count === 1 ? 'row' : 'rows'})` : ''),
    move(meta.page + 1, 'Next →', null, !meta.hasnext), pages !== null && move(pages, '⇥', 'Last page', meta.page >= pages), limit)
}
