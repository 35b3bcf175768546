// listeners.js - the ways in.
import { h, fill, table, badge, act, confirm } from './dom.js'
import { get, post, may } from './api.js'

export async function listeners (root, context) {
  const place = h('section')
  fill(root, h('h1', null, 'Listeners'), place)
  async function load () {
    const { data } = await get('/listeners', context.signal)
    const action = (row, name, question) => h('button', { type: 'button', 'aria-label': `${name} ${row.id}`, onclick: act(async () => {
      if (question && !await confirm(question, name)) return
      await post(`/listeners/${encodeURIComponent(row.id)}/${name}`)
      await load()
    }, 'Done.') }, name)
    fill(place, table('Listeners', [
      { name: 'id', label: 'Listener' }, { name: 'bind', label: 'Address' }, { name: 'port', label: 'Port', number: true },
      { label: 'Status', cell: (row) => badge(row.status, { running: 'good', failed: 'bad' }[row.status]) },
      { name: 'current_connections', label: 'Connections', number: true }, { label: 'At most', number: true, cell: (row) => row.max_connections ?? '∞' },
      may('administrator') && { label: '', cell: (row) => h('div', { class: 'buttons' }, row.status === 'running'
        ? [action(row, 'stop', `Stop ${row.id}? Connections stay; nobody new comes in, also after a restart.`), action(row, 'restart')]
        : action(row, 'start')) }
    ].filter(Boolean), data, { key: (row) => row.id }))
  }
  await load()
  context.every(5000, async () => { if (!place.contains(document.activeElement)) await load() })
}
