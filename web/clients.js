// clients.js - the list of sessions.
import { badge, button, clientLink, h } from './dom.js'
import { short, bytes, time } from './format.js'
import { act, confirm, toast } from './dialog.js'
import { listing } from './listing.js'
import { clientRates } from './rates.js'
import { post, may } from './api.js'

const rate = (value) => value === undefined ? '–' : short(value)

export async function clients (root, context) {
  const chosen = new Set(); const rates = clientRates()
  const box = (row, rerender) => h('input', { type: 'checkbox', checked: chosen.has(row.clientid), 'aria-label': `Choose ${row.clientid}`, onchange: (event) => {
    if (event.currentTarget.checked) chosen.add(row.clientid); else chosen.delete(row.clientid)
    rerender()
  } })
  await listing(root, context, {
    title: 'Clients',
    path: '/clients',
    filters: [
      { name: 'like_clientid', label: 'Client id', hint: 'part of the id' }, { name: 'like_username', label: 'User', hint: 'part of the name' },
      { name: 'conn_state', label: 'State', options: [['', 'all'], ['connected', 'connected'], ['disconnected', 'away']] },
      { name: 'proto_ver', label: 'MQTT', options: [['', 'all'], ['3.1', '3.1'], ['3.1.1', '3.1.1'], ['5.0', '5.0']] },
      { name: 'listener', label: 'Listener', hint: 'tcp.default' }, { name: 'gte_mqueue_len', label: 'Queue at least', hint: '0' }
    ],
    sorts: true,
    every: 5000,
    key: (row) => row.clientid,
    empty: 'No client fits.',
    seen (rows) {
      rates.look(rows)
      const here = new Set(rows.map((row) => row.clientid))
      for (const id of chosen) if (!here.has(id)) chosen.delete(id)
    },
    actions: ({ load }) => may('operator') && [button('Kick the chosen', act(async () => {
      if (!await confirm(`Disconnect ${chosen.size} client${chosen.size === 1 ? '' : 's'}? Sessions live on as their expiry says.`, 'Kick')) return
      const { kicked } = await post('/clients/kickout/bulk', { clientids: [...chosen] })
      chosen.clear()
      toast(`${kicked} disconnected.`)
      await load()
    }), { kind: 'danger', disabled: chosen.size === 0 }), h('span', { class: 'note' }, chosen.size ? `${chosen.size} chosen` : '')],
    columns: ({ rerender }) => [
      may('operator') && { label: h('span', { class: 'hidden' }, 'Choose'), cell: (row) => box(row, rerender) },
      { name: 'clientid', label: 'Client id', sort: true, cell: (row) => clientLink(row.clientid), class: 'text' },
      { name: 'username', label: 'User', class: 'text' },
      { label: 'State', cell: (row) => [row.connected ? badge('connected', 'good') : badge('away'), row.slowed && [' ', badge('slowed', 'warn')]] },
      { name: 'recv_msg', label: 'In', title: 'Messages it has published since it connected', number: true, sort: true, cell: (row) => short(row.recv_msg) },
      { label: 'In/s', title: 'Messages it publishes a second, lately', number: true, cell: (row) => rate(rates.of(row)?.in) },
      { name: 'send_msg', label: 'Out', title: 'Messages sent to it since it connected', number: true, sort: true, cell: (row) => short(row.send_msg) },
      { label: 'Out/s', title: 'Messages sent to it a second, lately', number: true, cell: (row) => rate(rates.of(row)?.out) },
      { name: 'mqueue_len', label: 'Queue', number: true, sort: true, cell: (row) => short(row.mqueue_len) },
      { name: 'mqueue_bytes', label: 'Queued bytes', number: true, sort: true, cell: (row) => bytes(row.mqueue_bytes) },
      { name: 'inflight_cnt', label: 'In flight', number: true, sort: true },
      { name: 'subscriptions_cnt', label: 'Subs', number: true, sort: true },
      { label: 'Address', cell: (row) => row.ip_address ? `${row.ip_address}:${row.port}` : '–' },
      { name: 'listener', label: 'Listener' }, { name: 'proto_ver', label: 'MQTT' },
      { name: 'connected_at', label: 'Since', sort: true, cell: (row) => time(row.connected_at) }
    ]
  })
}
