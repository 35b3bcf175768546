// configuration.js - every key with its value and where it comes from.
import { h, fill, redraw, refill, badge, button } from './dom.js'
import { act, dialog } from './dialog.js'
import { ask, field, select } from './form.js'
import { sorted, table, pager } from './table.js'
import { apply, differences, historyTable, said } from './configuration_change.js'
import { get, post, query, may } from './api.js'

const LAYERS = [['', 'anywhere'], ['file', 'files'], ['environment', 'environment'], ['command_line', 'command line'], ['runtime', 'runtime layer'], ['default', 'defaults']]

// A field that fits the key's type: "true or false" and "debug, info or warn" are a choice, the rest is text.
function control (row) {
  const words = row.type.split(/, | or /)
  if (words.includes(row.value) && words.every((word) => /^[\w.-]+$/.test(word))) return select(words.map((word) => [word, word]), { value: row.value, name: 'value' })
  return row.value.includes('\n') || row.value.length > 80 ? h('textarea', { rows: 6, cols: 70, value: row.value, name: 'value', spellcheck: 'false' }) : h('input', { value: row.value, name: 'value', size: 50, spellcheck: 'false', autocomplete: 'off' })
}

// Asks for a new value of the key; resolves with { value }, or undefined.
function askValue (row) {
  const value = control(row)
  return dialog(row.key, (close) => h('form', { method: 'dialog', onsubmit: (event) => { event.preventDefault(); close({ value: value.value }) } },
    h('p', null, row.documentation), field(`Value: ${row.type}`, value, `Default: ${row.default ?? 'none'}. Now from: ${row.origin}. ${row.reloadable ? 'Takes effect at once.' : 'Takes effect at the next start.'}`),
    h('div', { class: 'buttons' }, row.layer === 'runtime' && button('Back to the files', () => close({ value: null })), button('Cancel', () => close()), h('button', { class: 'primary' }, 'Try it'))))
}

// "KEY = VALUE" a line; "KEY =" takes the key out of the runtime layer.
function lines (text) {
  const changes = {}
  for (const line of text.split('\n').map((one) => one.trim()).filter((one) => one && !one.startsWith('#'))) {
    const at = line.indexOf('=')
    if (at < 1) throw new Error(`"${line}" is not KEY = VALUE.`)
    changes[line.slice(0, at).trim()] = line.slice(at + 1).trim() || null
  }
  if (Object.keys(changes).length === 0) throw new Error('There is no line KEY = VALUE.')
  return changes
}

const columns = (edit) => [
  { name: 'key', sort: true, label: 'Key', cell: (row) => may('administrator') ? button(row.key, act(() => edit(row)), { kind: 'link', name: `Change ${row.key}` }) : row.key },
  { name: 'value', label: 'Value', class: 'text', cell: (row) => row.layer === 'default' ? row.value : h('b', null, row.value) },
  { name: 'layer', sort: true, label: 'From', class: 'text', cell: (row) => row.layer === 'default' ? badge('default') : [badge(row.layer.replace('_', ' '), 'good'), ' ', h('small', null, row.origin)] },
  { label: 'Default', class: 'text', cell: (row) => row.layer === 'default' ? '' : row.default ?? 'none' },
  { label: 'A change takes effect', cell: (row) => row.reloadable ? 'at once' : 'at the next start' }, { name: 'documentation', label: 'Meaning', class: 'wide' }]

export async function configuration (root, context) {
  const view = { like_key: context.query.like_key ?? '', layer: context.query.layer ?? '' }
  const pages = { page: 1, limit: 100 }; const order = { by: 'key', order: 'asc', change: (by, order_) => { Object.assign(order, { by, order: order_ }); show(redraw) } }
  const place = h('section'); const pending = h('section'); const versions = h('section')
  const search = h('input', { type: 'search', placeholder: 'part of the key', value: view.like_key, spellcheck: 'false' })
  const layer = select(LAYERS, { value: view.layer })
  let rows = []
  const again = act(async () => { Object.assign(view, { like_key: search.value.trim(), layer: layer.value }); pages.page = 1; await load() })
  const edit = async (row) => {
    const wanted = await askValue(row)
    if (wanted && await apply({ [row.key]: wanted.value })) await load()
  }
  const several = act(async () => {
    const text = h('textarea', { rows: 8, cols: 60, required: true, spellcheck: 'false', placeholder: 'mqtt.max_inflight = 64\nlog.level = debug' })
    const changes = await ask('Change several keys', [['text', 'KEY = VALUE, a line each; KEY = takes a key out of the runtime layer', text]], 'Try it', (values) => lines(values.text), { about: 'They are checked as a whole, and applied together or not at all.' })
    if (changes && await apply(changes)) await load()
  })
  fill(root, h('h1', null, 'Configuration'), h('form', { class: 'filters', role: 'search', onsubmit: again, onchange: (event) => { if (event.target.matches('select')) again(event) } }, field('Key', search), field('Comes from', layer), h('button', null, 'Search')),
    h('div', { class: 'buttons' }, button('What differs from the defaults', act(async () => { const { data } = await get('/configs/diff', context.signal); await dialog('Not as it was built in', () => differences(data), { wide: true }) })),
      may('administrator') && [button('Change several keys', several), button('Read the files again', act(async () => { said(await post('/configs/reload')); await load() }))]),
    pending, place, h('h2', null, 'Earlier versions of the runtime layer'), versions)

  function show (how) {
    const all = sorted(rows, columns(edit), order); const first = (pages.page - 1) * pages.limit
    how(place, table('Keys', columns(edit), all.slice(first, first + pages.limit), { sorting: order, empty: 'No key fits.', key: (row) => row.key }),
      all.length > 50 && pager({ ...pages, count: all.length, hasnext: first + pages.limit < all.length }, (next) => { Object.assign(pages, next); show(redraw) }))
  }

  async function load (how = fill) {
    const [values, waiting, history] = await Promise.all([get(`/configs${query(view)}`, context.signal), get('/configs/diff?against=pending', context.signal), get('/configs/history', context.signal)])
    rows = values.data
    context.remember(view)
    show(how)
    how(pending, waiting.data.length > 0 && [h('h2', null, 'Not in force yet'), h('p', null, 'The files or the runtime layer say so; ', h('b', null, 'Read the files again'), ' or the next start puts it in force.'), differences(waiting.data)])
    how(versions, historyTable(history.data, load))
  }
  await load()
  context.every(15000, () => load(refill))
}
