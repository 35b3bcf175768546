// configuration_change.js - changes of the configuration: tried first, shown, then applied; earlier versions come back the same way.
import { h, badge, button } from './dom.js'
import { time } from './format.js'
import { act, dialog, toast } from './dialog.js'
import { table } from './table.js'
import { post, put, may } from './api.js'

export function differences (list) {
  return table('Differences', [{ name: 'key', label: 'Key', class: 'text' }, { label: 'Was', class: 'text', cell: (row) => row.old ?? '–' }, { label: 'Is', class: 'text', cell: (row) => row.new ?? 'gone' }, { name: 'origin', label: 'Where', class: 'text' },
    { label: 'Takes effect', cell: (row) => row.reloadable ? 'at once' : badge('at the next start', 'warn') }], list, { empty: 'No difference.' })
}

// Shows what trying has found; true when it is to be done.
function approve (result) {
  return dialog('This would change', (close) => h('form', { method: 'dialog', onsubmit: (event) => { event.preventDefault(); close(true) } }, differences(result.changed),
    h('div', { class: 'buttons' }, button('Cancel', () => close(false)), h('button', { class: 'primary', disabled: result.changed.length === 0, autofocus: true }, 'Apply'))), { wide: true })
}

// What became of a change.
export function said (result) {
  const count = result.changed.length
  const wait = result.needs_restart.length ? ` ${result.needs_restart.length} of them at the next start.` : ''
  toast(`${count} ${count === 1 ? 'key' : 'keys'} changed.${wait}${result.listeners_failed ? ` ${result.listeners_failed} listeners failed: see Listeners.` : ''}`, result.listeners_failed ? 'bad' : 'good')
}

// { key: value, or null: out of the runtime layer }. False: not done.
export async function apply (changes) {
  if (!await approve(await put('/configs?dry_run=true', { changes }))) return false
  said(await put('/configs', { changes }))
  return true
}

export function historyTable (rows, load) {
  const back = (row) => act(async () => {
    if (!await approve(await post('/configs/rollback?dry_run=true', { version: row.version }))) return
    said(await post('/configs/rollback', { version: row.version }))
    await load()
  })
  return table('Versions', [{ name: 'version', label: 'Version', number: true }, { label: 'Replaced', cell: (row) => time(row.at) }, { label: 'Text', cell: (row) => h('details', { 'aria-label': `Text of version ${row.version}` }, h('summary', null, 'show'), h('pre', { class: 'payload' }, row.text)) },
    may('administrator') && { label: '', cell: (row) => button('Bring it back', back(row), { name: `Bring version ${row.version} back` }) }], rows, { empty: 'The runtime layer was never changed.', key: (row) => row.version })
}
