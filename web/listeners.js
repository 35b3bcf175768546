// listeners.js - the ways in.
import { h, fill, refill, badge, button } from './dom.js'
import { act, confirm } from './dialog.js'
import { table } from './table.js'
import { get, post, query, may, segment } from './api.js'

export async function listeners (root, context) {
  const place = h('section')
  fill(root, h('h1', null, 'Listeners'), h('p', { class: 'about' }, 'The addresses where clients come in. More of them are made in the ', h('a', { href: '#/configuration?like_key=listeners.' }, 'configuration'), '.'), place)
  async function load (how = fill) {
    const { data } = await get('/listeners', context.signal)
    const action = (row, name, question) => button(name, act(async () => {
      if (question && !await confirm(question, name)) return false
      await post(`/listeners/${segment(row.id)}/${name}`)
      await load()
    }, 'Done.'), { name: `${name} ${row.id}` })
    const share = (row) => row.max_connections ? ` (${Math.round(100 * row.current_connections / row.max_connections)} %)` : ''
    how(place, table('Listeners', [
      { label: 'Listener', cell: (row) => h('a', { href: `#/configuration${query({ like_key: `listeners.${row.id}.` })}`, title: 'Its keys in the configuration' }, row.id) },
      { name: 'bind', label: 'Address', class: 'text' }, { name: 'port', label: 'Port', number: true },
      { label: 'Status', cell: (row) => [badge(row.status, { running: 'good', failed: 'bad' }[row.status]), row.status === 'failed' && ' The log says why.'] },
      { label: 'Connections', number: true, cell: (row) => h('a', { href: `#/clients${query({ listener: row.id })}` }, `${row.current_connections}${share(row)}`) },
      { label: 'At most', number: true, cell: (row) => row.max_connections ?? '∞' },
      may('administrator') && { label: '', cell: (row) => h('div', { class: 'buttons' }, row.status === 'running'
        ? [action(row, 'stop', `Stop ${row.id}? Connections stay; nobody new comes in, also after a restart.`), action(row, 'restart', `Close the sockets of ${row.id} and open them again? Connections stay.`)]
        : action(row, 'start')) }
    ], data, { key: (row) => row.id, empty: 'There is no listener: nobody can connect.' }))
  }
  await load()
  context.every(5000, () => load(refill))
}
