// alarms.js - what needs attention, and what did.
import { h, fill, time, table, badge, act } from './dom.js'
import { get, remove, may } from './api.js'

export async function alarms (root, context) {
  const raised = h('section'); const cleared = h('section')
  fill(root, h('h1', null, 'Alarms'), raised, h('h2', null, 'History'),
    may('operator') && h('button', { type: 'button', onclick: act(async () => { await remove('/alarms'); await load() }, 'Forgotten.') }, 'Forget the history'), cleared)
  async function load () {
    const [now, before] = await Promise.all([get('/alarms?activated=true', context.signal), get('/alarms?activated=false', context.signal)])
    const columns = [{ name: 'name', label: 'Alarm' }, { label: 'Severity', cell: (row) => badge(row.severity, row.severity === 'critical' ? 'bad' : 'warn') }, { name: 'subject', label: 'About', class: 'text' },
      { name: 'message', label: 'What', class: 'text' }, { label: 'Raised', cell: (row) => time(row.activated_at) }]
    fill(raised, table('Raised', columns, now.data, { empty: 'No alarm is raised.' }))
    fill(cleared, table('Cleared', [...columns, { label: 'Cleared', cell: (row) => time(row.deactivated_at) }], before.data, { empty: 'None yet.' }))
  }
  await load()
  context.every(5000, load)
}
