// client.js - one session and its client: what it is, what it does, and what can be done about it.
import { h, fill, refill, facts, badge, button } from './dom.js'
import { bytes, short, time, relative } from './format.js'
import { field, select } from './form.js'
import { act, confirm, toast } from './dialog.js'
import { table, pager } from './table.js'
import { ban } from './ban.js'
import { startTrace } from './trace.js'
import { clientRates } from './rates.js'
import { get, post, remove, query, may, segment } from './api.js'

function buttons (id, load, now) {
  return h('div', { class: 'buttons' },
    button('Kick', act(async () => {
      if (!await confirm(`Disconnect ${id}? Its session lives on as its expiry says.`, 'Kick')) return
      await remove(`/clients/${segment(id)}`)
      toast('Disconnected.')
      await load()
    }), { kind: 'danger', id: 'kick' }),
    button('Trace this client', act(() => startTrace({ type: 'clientid', value: id })), { id: 'trace' }),
    button('Ban this client', act(async () => { if (await ban(now())) await load() }), { kind: 'danger', id: 'ban' }),
    button('End the session', act(async () => {
      if (!await confirm(`End the session of ${id}? Its subscriptions and what waits for it are lost.`, 'End it')) return
      await remove(`/sessions/${segment(id)}`)
      window.location.hash = '#/clients'
    }), { kind: 'danger' }))
}

function about (one, rate) {
  const speed = (value) => value === undefined ? '' : `, ${short(value)}/s`
  return facts([
    ['State', [one.connected ? badge('connected', 'good') : badge('away'), one.slowed && [' ', badge('slowed: its subscribers do not keep up', 'warn')]]],
    ['User', h('span', { class: 'text' }, one.username ?? '–')],
    ['Address', one.ip_address && `${one.ip_address}:${one.port}`], ['Listener', one.listener], ['MQTT', one.proto_ver], ['Keep-alive', one.keepalive ? `${one.keepalive} s` : 'none'], ['Connected', time(one.connected_at)],
    ['Session expiry', one.expiry_interval === null ? 'never' : `${one.expiry_interval} s`], one.expires_at && ['Session ends', [time(one.expires_at), ` (${relative(one.expires_at)})`]],
    ['Queue', `${one.mqueue_len} messages, ${bytes(one.mqueue_bytes)}`], ['In flight', `${one.inflight_cnt} of ${one.inflight_max}`], ['Not sent yet', bytes(one.send_backlog_bytes)],
    ['Published', `${one.recv_msg} messages, ${bytes(one.recv_msg_bytes)}${speed(rate?.in)}`], ['Received', `${one.send_msg} messages${speed(rate?.out)}`],
    ['On disk', one.durable ? 'yes' : 'no'], ['Will', one.will ? 'yes' : 'no'], ['Shard', one.shard]])
}

export async function client (root, context) {
  const id = context.rest; const path = `/clients/${segment(id)}`
  const now = h('section'); const list = h('section'); const rates = clientRates(); let last; const view = { page: 1, limit: 50 }
  const filter = h('input', { required: true, placeholder: 'sensors/+/state' })
  const qos = select([['0', '0'], ['1', '1'], ['2', '2']])
  const subscribe = h('form', { class: 'filters', onsubmit: act(async () => {
    await post(`${path}/subscribe`, { topic: filter.value, qos: Number(qos.value) })
    filter.value = ''
    await load()
  }, 'Subscribed.') }, field('Subscribe it to', filter), field('QoS', qos), h('button', null, 'Subscribe'))
  const again = () => load(refill)
  fill(root, h('p', null, h('a', { href: '#/clients' }, '← Clients'), ' · ', h('a', { href: `#/why${query({ clientid: id })}` }, 'Why does a message not arrive?')), h('h1', { class: 'text' }, id),
    may('operator') && buttons(id, again, () => last ?? { clientid: id }), now,
    h('h2', null, 'Subscriptions'), may('operator') && subscribe, list)

  async function load (how = fill) {
    try {
      last = await get(path, context.signal)
      const { data, meta } = await get(`${path}/subscriptions${query(view)}`, context.signal)
      rates.look([last])
      how(now, about(last, rates.of(last)))
      how(list, table('Subscriptions', [
        { name: 'topic', label: 'Filter', class: 'text' }, { name: 'qos', label: 'QoS', number: true }, { label: 'No local', cell: (row) => row.nl ? 'yes' : '' },
        { label: 'Retain as published', cell: (row) => row.rap ? 'yes' : '' }, { name: 'subscription_id', label: 'Identifier', number: true },
        may('operator') && { label: '', cell: (row) => button('Unsubscribe', act(async () => {
          await post(`${path}/unsubscribe`, { topic: row.topic })
          await load()
        }), { name: `Unsubscribe ${row.topic}` }) }
      ], data, { empty: 'It subscribes to nothing.', key: (row) => row.topic }), (meta.page > 1 || meta.hasnext) && pager(meta, (next) => act(async () => { Object.assign(view, next); await load() })()))
    } catch (error) {
      if (error.status !== 404) throw error
      fill(now, h('p', { class: 'problem', role: 'alert' }, 'There is no such session (any more).'))
      fill(list)
    }
  }
  await load()
  context.every(3000, () => load(refill))
}
