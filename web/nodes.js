// nodes.js - the processes of the cluster (one, for now), their shards, and the features that are in them.
import { h, fill, refill, facts, badge } from './dom.js'
import { bytes, short, duration, time } from './format.js'
import { table } from './table.js'
import { get } from './api.js'

const node = (one) => [h('h2', { class: 'text' }, one.node), facts([['Status', badge(one.status, one.status === 'running' ? 'good' : 'bad')], ['Version', one.version], ['Started', time(one.started_at)], ['Uptime', duration(one.uptime_s)],
  ['Process', one.pid], ['Shards', one.shards], ['Connections', one.connections], ['Clients', one.clients], ['Sessions', one.sessions], ['Subscriptions', one.subscriptions], ['Retained', one.retained],
  ['Memory', bytes(one.memory_bytes)], ['Processor time', duration(one.cpu_seconds)], ['Open files', one.open_files], ['Data', h('span', { class: 'text' }, one.data_dir)]])]

const features = (rows) => table('Features', [
  { name: 'name', label: 'Feature' }, { label: 'In force', cell: (row) => row.on ? badge('on', 'good') : badge('off') }, { name: 'version', label: 'Version' },
  { label: 'Asked about', cell: (row) => h('ul', { class: 'chips' }, row.gates.map((gate) => h('li', { title: `passed ${gate.passed}, allowed ${gate.allowed}, denied ${gate.denied}, had to wait ${gate.later}, longest ${gate.longest_us.toFixed(1)} µs` },
    `${gate.gate} `, h('b', null, short(gate.passed + gate.allowed + gate.denied + gate.later)), gate.denied > 0 && [' ', badge(`${short(gate.denied)} denied`, 'warn')], gate.overruns > 0 && [' ', badge(`${short(gate.overruns)} slow`, 'bad')]))) },
  { name: 'documentation', label: 'What it does', class: 'wide' }], rows, { key: (row) => row.name, empty: 'None was built in.' })

export async function nodes (root, context) {
  const list = h('section'); const parts = h('section')
  fill(root, h('h1', null, 'Nodes'), list, h('h2', null, 'Features'), parts)
  async function load (how = fill) {
    const [{ data: all }, { data: some }] = await Promise.all([get('/nodes', context.signal), get('/features', context.signal)])
    how(list, all.map(node))
    how(parts, features(some))
  }
  await load()
  context.every(5000, () => load(refill))
}
