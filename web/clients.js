// clients.js - the list of sessions, and one of them.
import { h, fill, short, bytes, time, facts, table, pager, field, select, badge, act, confirm, toast } from './dom.js'
import { get, post, remove, query, may } from './api.js'

const link = (id) => h('a', { href: `#/clients/${encodeURIComponent(id)}` }, id === '' ? '(empty)' : id)

export async function clients (root, context) {
  const view = { page: 1, limit: 50, ...context.query }
  const chosen = new Set()
  const list = h('section')
  const search = h('input', { type: 'search', value: view.like_clientid ?? '', placeholder: 'part of the id', 'aria-label': 'Client id' })
  const user = h('input', { type: 'search', value: view.like_username ?? '', placeholder: 'part of the name' })
  const state = select([['', 'all'], ['connected', 'connected'], ['disconnected', 'away']], { value: view.conn_state ?? '' })
  const version = select([['', 'all'], ['3.1', '3.1'], ['3.1.1', '3.1.1'], ['5.0', '5.0']], { value: view.proto_ver ?? '' })
  const again = act(async () => {
    Object.assign(view, { page: 1, like_clientid: search.value, like_username: user.value, conn_state: state.value, proto_ver: version.value })
    await load()
  })
  fill(root, h('h1', null, 'Clients'),
    h('form', { class: 'filters', role: 'search', onsubmit: again, onchange: again },
      field('Client id', search), field('User', user), field('State', state), field('MQTT', version), h('button', null, 'Search')), list)

  async function load () {
    const { data, meta } = await get(`/clients${query(view)}`, context.signal)
    const rows = data.map((row) => row.clientid)
    for (const id of chosen) if (!rows.includes(id)) chosen.delete(id)
    const kick = h('button', { type: 'button', class: 'danger', disabled: chosen.size === 0, onclick: act(async () => {
      if (!await confirm(`Disconnect ${chosen.size} client${chosen.size === 1 ? '' : 's'}? Sessions live on as their expiry says.`, 'Kick')) return
      const { kicked } = await post('/clients/kickout/bulk', { clientids: [...chosen] })
      chosen.clear()
      toast(`${kicked} disconnected.`)
      await load()
    }) }, 'Kick the chosen')
    const box = (row) => h('input', { type: 'checkbox', checked: chosen.has(row.clientid), 'aria-label': `Choose ${row.clientid}`, onchange: (event) => {
      event.stopPropagation()
      if (event.currentTarget.checked) chosen.add(row.clientid); else chosen.delete(row.clientid)
      kick.disabled = chosen.size === 0
    } })
    const columns = [
      may('operator') && { label: '', cell: box },
      { name: 'clientid', label: 'Client id', sort: true, cell: (row) => link(row.clientid), class: 'text' },
      { name: 'username', label: 'User', class: 'text' },
      { label: 'State', cell: (row) => row.connected ? badge('connected', 'good') : badge('away') },
      { label: 'Address', cell: (row) => row.ip_address ? `${row.ip_address}:${row.port}` : '–' },
      { name: 'listener', label: 'Listener' }, { name: 'proto_ver', label: 'MQTT' },
      { name: 'connected_at', label: 'Since', sort: true, cell: (row) => time(row.connected_at) },
      { name: 'subscriptions_cnt', label: 'Subs', number: true, sort: true },
      { name: 'mqueue_len', label: 'Queue', number: true, sort: true }, { name: 'inflight_cnt', label: 'In flight', number: true, sort: true },
      { name: 'recv_msg', label: 'In', number: true, sort: true, cell: (row) => short(row.recv_msg) },
      { name: 'send_msg', label: 'Out', number: true, sort: true, cell: (row) => short(row.send_msg) },
      { label: '', cell: (row) => row.slowed && badge('slowed', 'warn') }
    ].filter(Boolean)
    const sorting = { by: view.sort, order: view.order }
    sorting.change = (by, order) => { Object.assign(view, { sort: by, order, page: 1 }); act(load)() }
    fill(list, may('operator') && kick, table('Clients', columns, data, { sorting, empty: 'No client fits.', key: (row) => row.clientid }),
      pager(meta, (page) => { view.page = page; act(load)() }))
  }
  await load()
  context.every(5000, async () => { if (chosen.size === 0 && !root.contains(document.activeElement)) await load() })
}

// ---- one client -----------------------------------------------------------------------------------------------------

export async function client (root, context) {
  const id = context.rest; const path = `/clients/${encodeURIComponent(id)}`
  const now = h('section'); const subscriptionList = h('section'); let page = 1
  const filter = h('input', { required: true, placeholder: 'sensors/+/state' })
  const qos = select([['0', '0'], ['1', '1'], ['2', '2']])
  const subscribe = h('form', { class: 'filters', onsubmit: act(async () => {
    await post(`${path}/subscribe`, { topic: filter.value, qos: Number(qos.value) })
    filter.value = ''
    await load()
  }, 'Subscribed.') }, field('Subscribe it to', filter), field('QoS', qos), h('button', null, 'Subscribe'))
  const buttons = h('div', { class: 'buttons' },
    h('button', { type: 'button', class: 'danger', id: 'kick', onclick: act(async () => {
      if (!await confirm(`Disconnect ${id}? Its session lives on as its expiry says.`, 'Kick')) return
      await remove(path)
      toast('Disconnected.')
      await load().catch(gone)
    }) }, 'Kick'),
    h('button', { type: 'button', class: 'danger', onclick: act(async () => {
      if (!await confirm(`End the session of ${id}? Its subscriptions and ${'queue'} are lost.`, 'End it')) return
      await remove(`/sessions/${encodeURIComponent(id)}`)
      window.location.hash = '#/clients'
    }) }, 'End the session'))
  fill(root, h('p', null, h('a', { href: '#/clients' }, '← Clients')), h('h1', { class: 'text' }, id), may('operator') && buttons, now,
    h('h2', null, 'Subscriptions'), may('operator') && subscribe, subscriptionList)

  function gone (error) {
    if (error.status !== 404) throw error
    fill(now, h('p', { class: 'problem', role: 'alert' }, 'There is no such session (any more).'))
    fill(subscriptionList)
  }

  async function load () {
    const one = await get(path, context.signal)
    const { data, meta } = await get(`${path}/subscriptions${query({ page, limit: 100 })}`, context.signal)
    fill(now, facts([
      ['State', one.connected ? badge('connected', 'good') : badge('away')], ['User', one.username], ['Address', one.ip_address && `${one.ip_address}:${one.port}`],
      ['Listener', one.listener], ['MQTT', one.proto_ver], ['Keep-alive', `${one.keepalive} s`], ['Connected', time(one.connected_at)],
      ['Session expiry', one.expiry_interval === null ? 'never' : `${one.expiry_interval} s`], one.expires_at && ['Session ends', time(one.expires_at)],
      ['Queue', `${one.mqueue_len} messages, ${bytes(one.mqueue_bytes)}`], ['In flight', `${one.inflight_cnt} of ${one.inflight_max}`],
      ['Not sent yet', bytes(one.send_backlog_bytes)], ['Published', `${one.recv_msg} messages, ${bytes(one.recv_msg_bytes)}`], ['Received', `${one.send_msg} messages`],
      ['On disk', one.durable ? 'yes' : 'no'], ['Will', one.will ? 'yes' : 'no'], ['Slowed', one.slowed ? badge('yes: its subscribers do not keep up', 'warn') : 'no'], ['Shard', one.shard]]))
    fill(subscriptionList, table('Subscriptions', [
      { name: 'topic', label: 'Filter', class: 'text' }, { name: 'qos', label: 'QoS', number: true }, { label: 'No local', cell: (row) => row.nl ? 'yes' : '' },
      { label: 'Retain as published', cell: (row) => row.rap ? 'yes' : '' }, { name: 'subscription_id', label: 'Identifier', number: true },
      may('operator') && { label: '', cell: (row) => h('button', { type: 'button', 'aria-label': `Unsubscribe ${row.topic}`, onclick: act(async () => {
        await post(`${path}/unsubscribe`, { topic: row.topic })
        await load()
      }) }, 'Unsubscribe') }
    ].filter(Boolean), data, { empty: 'It subscribes to nothing.' }), (meta.page > 1 || meta.hasnext) && pager(meta, (next) => { page = next; act(load)() }))
  }
  await load().catch(gone)
  context.every(3000, async () => { if (!subscriptionList.contains(document.activeElement)) await load().catch(gone) })
}
