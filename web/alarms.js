// alarms.js - what needs attention, and what did.
import { h, fill, refill, badge, button } from './dom.js'
import { time, duration } from './format.js'
import { act, confirm } from './dialog.js'
import { table, pager } from './table.js'
import { get, remove, query, may } from './api.js'

const columns = [{ name: 'name', label: 'Alarm' }, { label: 'Severity', cell: (row) => badge(row.severity, row.severity === 'critical' ? 'bad' : 'warn') }, { name: 'subject', label: 'About', class: 'text' },
  { name: 'message', label: 'What', class: 'text' }, { label: 'Raised', cell: (row) => time(row.activated_at) },
  { label: 'For', cell: (row) => duration(Math.max(0, (new Date(row.deactivated_at ?? Date.now()) - new Date(row.activated_at)) / 1000)) }]

export async function alarms (root, context) {
  const raised = h('section'); const cleared = h('section'); const view = { page: 1, limit: 50 }
  fill(root, h('h1', null, 'Alarms'), raised, h('h2', null, 'History'),
    may('operator') && button('Forget the history', act(async () => {
      if (!await confirm('Forget all alarms that are over?', 'Forget')) return false
      await remove('/alarms')
      await load()
    }, 'Forgotten.')), cleared)
  async function load (how = fill) {
    const [now, before] = await Promise.all([get('/alarms?activated=true&limit=1000', context.signal), get(`/alarms${query({ ...view, activated: false })}`, context.signal)])
    how(raised, table('Raised', columns, now.data, { empty: 'No alarm is raised.' }))
    how(cleared, table('Cleared', [...columns, { label: 'Cleared', cell: (row) => time(row.deactivated_at) }], before.data, { empty: 'None yet.' }),
      (view.page > 1 || before.meta.hasnext) && pager(before.meta, (next) => act(async () => { Object.assign(view, next); await load() })()))
  }
  await load()
  context.every(5000, () => load(refill))
}
