// overview.js - the node at a glance, live.
import { h, fill, refill, facts, badge } from './dom.js'
import { short, bytes, seconds, duration } from './format.js'
import { table } from './table.js'
import { get } from './api.js'
import { chart } from './chart.js'
import { history, changes } from './live.js'

const DROPS = /^dropped_|refused|^(gates_denied|publishers_paused|protocol_errors|keep_alive_timeouts|connect_timeouts|handshake_timeouts)$/
const rate = (name) => (sample) => sample.rates[name]
const value = (name) => (sample) => sample.stats.counters[name]
const dropsPerSecond = (sample) => Object.keys(sample.rates).length
  ? Object.entries(sample.rates).reduce((sum, [name, rate]) => sum + (name.startsWith('dropped_') ? rate : 0), 0)
  : undefined

export async function overview (root, context) {
  const nodePlace = h('section'); const alarmPlace = h('section'); const reasons = h('section'); const shards = h('section')
  const charts = [
    chart('Messages per second', [{ label: 'in', of: rate('publish_received') }, { label: 'out', of: rate('publish_sent') }], short),
    chart('Bytes per second', [{ label: 'in', of: rate('bytes_received') }, { label: 'out', of: rate('bytes_sent') }], bytes),
    chart('Clients', [{ label: 'connected', of: value('connections') }, { label: 'sessions', of: value('sessions') }], short),
    chart('Queued', [{ label: 'waiting', of: value('queued_messages') }, { label: 'in flight', of: value('inflight_messages') }], short),
    chart('Publish to send', [{ label: 'p50', of: (s) => s.latency.publish_to_send?.p50 }, { label: 'p99', of: (s) => s.latency.publish_to_send?.p99 }], seconds),
    chart('Processor, % of a core', [{ label: 'busiest shard', of: (s) => s.cpu.length ? Math.max(...s.cpu) : undefined }, { label: 'all shards', of: (s) => s.cpu.length ? s.cpu.reduce((a, b) => a + b) : undefined }], short),
    chart('Dropped per second', [{ label: 'all reasons', of: dropsPerSecond }], short)
  ]
  fill(root, h('h1', null, 'Overview'), alarmPlace, nodePlace, h('div', { class: 'charts' }, charts.map((one) => one.element)), shards, reasons)

  function show () {
    for (const one of charts) one.show(history)
    const last = history.at(-1)
    if (!last) return
    const rows = Object.entries(last.stats.counters).filter(([name, count]) => DROPS.test(name) && count > 0).map(([name, count]) => ({ name, count, rate: last.rates[name] }))
    refill(reasons, h('h2', null, 'Dropped and refused since the start'),
      table('Dropped and refused', [{ name: 'name', label: 'Reason' }, { name: 'count', label: 'Count', number: true },
        { name: 'rate', label: 'Per second', number: true, cell: (row) => short(row.rate) }], rows, { empty: 'Nothing was.' }))
    refill(shards, h('h2', null, 'Shards'),
      table('Shards', [{ name: 'shard', label: 'Shard' }, { label: 'CPU', number: true, cell: (row) => last.cpu.length ? `${last.cpu[row.shard].toFixed(1)} %` : '–' },
        { label: 'Connections', number: true, cell: (row) => row.counters.connections }, { label: 'Sessions', number: true, cell: (row) => row.counters.sessions },
        { label: 'Queued', number: true, cell: (row) => short(row.counters.queued_messages) }, { label: 'Messages stored', number: true, cell: (row) => short(row.counters.messages_stored) },
        { label: 'Pool memory', number: true, cell: (row) => bytes(row.counters.pool_bytes) }], last.stats.shards))
  }
  changes.addEventListener('sample', show)
  context.onEnd(() => changes.removeEventListener('sample', show))

  async function load () {
    const [{ data: [node] }, { data: raised }] = await Promise.all([get('/nodes', context.signal), get('/alarms?activated=true', context.signal)])
    refill(nodePlace, facts([['Node', node.node], ['Version', node.version], ['Status', badge(node.status, node.status === 'running' ? 'good' : 'bad')], ['Uptime', duration(node.uptime_s)],
      ['Clients', node.clients], ['Sessions', node.sessions], ['Subscriptions', node.subscriptions], ['Retained', node.retained], ['Memory', bytes(node.memory_bytes)], ['Shards', node.shards]]))
    refill(alarmPlace, raised.map((alarm) => h('p', { class: `alarm ${alarm.severity}`, role: 'alert' }, h('b', null, `${alarm.name}: `), alarm.message, ' ', h('a', { href: '#/alarms' }, 'Alarms'))))
  }
  await load()
  show()
  context.every(5000, load)
}
