// configuration.js - every key with its value and where it comes from; changes are tried first, then applied; earlier versions come back.
import { h, fill, time, table, field, select, badge, act, dialog, toast } from './dom.js'
import { get, post, put, query, may } from './api.js'

function differences (list) {
  return table('Differences', [{ name: 'key', label: 'Key', class: 'text' }, { name: 'old', label: 'Was', class: 'text' }, { name: 'new', label: 'Is', class: 'text' },
    { label: 'Takes effect', cell: (row) => row.reloadable ? 'at once' : badge('at the next start', 'warn') }], list, { empty: 'No difference.' })
}

// Says what trying has found; true when it is to be done.
function approve (result) {
  return dialog('This would change', (close) => h('form', { method: 'dialog', onsubmit: (event) => { event.preventDefault(); close(true) } }, differences(result.changed),
    h('div', { class: 'buttons' }, h('button', { type: 'button', onclick: () => close(false) }, 'Cancel'), h('button', { class: 'primary', disabled: result.changed.length === 0, autofocus: true }, 'Apply'))))
}

function said (result) {
  const wait = result.needs_restart.length ? ` ${result.needs_restart.length} of them at the next start.` : ''
  toast(`${result.changed.length} ${result.changed.length === 1 ? 'key' : 'keys'} changed.${wait}${result.listeners_failed ? ` ${result.listeners_failed} listeners failed: see Listeners.` : ''}`, result.listeners_failed ? 'bad' : 'good')
}

export async function configuration (root, context) {
  const view = { ...context.query }
  const place = h('section'); const pending = h('section'); const versions = h('section')
  const search = h('input', { type: 'search', placeholder: 'part of the key', value: view.like_key ?? '' })
  const layer = select([['', 'anywhere'], ['file', 'files'], ['environment', 'environment'], ['command_line', 'command line'], ['runtime', 'runtime layer'], ['default', 'defaults']], { value: view.layer ?? '' })
  const again = act(async () => { view.like_key = search.value; view.layer = layer.value; await load() })
  fill(root, h('h1', null, 'Configuration'), h('form', { class: 'filters', role: 'search', onsubmit: again, onchange: again }, field('Key', search), field('Comes from', layer), h('button', null, 'Search'),
    may('administrator') && h('button', { type: 'button', onclick: act(async () => { said(await post('/configs/reload')); await load() }) }, 'Read the files again')),
  pending, place, h('h2', null, 'Earlier versions of the runtime layer'), versions)

  async function change (changes) {
    const tried = await put('/configs?dry_run=true', { changes })
    if (!await approve(tried)) return
    said(await put('/configs', { changes }))
    await load()
  }

  async function edit (row) {
    const value = h('input', { value: row.value, name: 'value' })
    const wanted = await dialog(row.key, (close) => h('form', { method: 'dialog', onsubmit: (event) => { event.preventDefault(); close({ value: value.value }) } },
      h('p', null, row.documentation), field(`Value: ${row.type}`, value, `Default: ${row.default ?? 'none'}. ${row.reloadable ? 'Takes effect at once.' : 'Takes effect at the next start.'}`),
      h('div', { class: 'buttons' }, row.layer === 'runtime' && h('button', { type: 'button', onclick: () => close({ value: null }) }, 'Back to the files'),
        h('button', { type: 'button', onclick: () => close() }, 'Cancel'), h('button', { class: 'primary' }, 'Try it'))))
    if (wanted) await change({ [row.key]: wanted.value })
  }

  async function load () {
    const [values, waiting, history] = await Promise.all([get(`/configs${query(view)}`, context.signal), get('/configs/diff?against=pending', context.signal), get('/configs/history', context.signal)])
    fill(place, table('Keys', [
      { label: 'Key', class: 'text', cell: (row) => may('administrator') ? h('button', { type: 'button', class: 'link', 'aria-label': `Change ${row.key}`, onclick: act(() => edit(row)) }, row.key) : row.key },
      { name: 'value', label: 'Value', class: 'text', cell: (row) => row.layer === 'default' ? row.value : h('b', null, row.value) },
      { label: 'From', cell: (row) => badge(row.layer.replace('_', ' '), row.layer === 'default' ? '' : 'good') }, { name: 'origin', label: 'Where', class: 'text' },
      { label: 'Change', cell: (row) => row.reloadable ? 'at once' : 'restart' }, { name: 'documentation', label: 'Meaning', class: 'wide' }], values.data, { empty: 'No key fits.', key: (row) => row.key }))
    fill(pending, waiting.data.length > 0 && [h('h2', null, 'Not in force yet'), differences(waiting.data)])
    fill(versions, table('Versions', [{ name: 'version', label: 'Version', number: true }, { label: 'Replaced', cell: (row) => time(row.at) }, { label: 'Text', cell: (row) => h('details', null, h('summary', null, 'show'), h('pre', { class: 'payload' }, row.text)) },
      may('administrator') && { label: '', cell: (row) => h('button', { type: 'button', onclick: act(async () => {
        if (!await approve(await post('/configs/rollback?dry_run=true', { version: row.version }))) return
        said(await post('/configs/rollback', { version: row.version }))
        await load()
      }) }, 'Bring it back') }].filter(Boolean), history.data, { empty: 'The runtime layer was never changed.' }))
  }
  await load()
}
