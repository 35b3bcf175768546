// topics.js - subscriptions, filters, retained messages.
import { h, fill, bytes, time, table, pager, field, act, confirm, dialog, facts, toast } from './dom.js'
import { get, remove, query, may } from './api.js'

const client = (id) => h('a', { href: `#/clients/${encodeURIComponent(id)}` }, id)

// A page that is a form of filters, a table and a pager.
async function listing (root, context, { title, path, filters, columns, empty, above }) {
  const view = { page: 1, limit: 100, ...context.query }
  const controls = filters.map(([name, label, hint]) => [name, label, h('input', { type: 'search', value: view[name] ?? '', placeholder: hint })])
  const place = h('section')
  const load = async () => {
    const { data, meta } = await get(`${path}${query(view)}`, context.signal)
    fill(place, table(title, columns(load), data, { empty }), pager(meta, (page) => { view.page = page; act(load)() }))
  }
  const again = act(async () => {
    view.page = 1
    for (const [name, , control] of controls) view[name] = control.value
    await load()
  })
  fill(root, h('h1', null, title), h('form', { class: 'filters', role: 'search', onsubmit: again },
    controls.map(([, label, control]) => field(label, control)), h('button', null, 'Search')), above?.(load, view), place)
  await load()
}

export const subscriptions = (root, context) => listing(root, context, {
  title: 'Subscriptions',
  path: '/subscriptions',
  filters: [['match_topic', 'Who gets topic', 'sensors/7/state'], ['like_topic', 'Filter', 'part of it'], ['like_clientid', 'Client id', 'part of it'], ['share', 'Shared group', 'name']],
  columns: () => [{ label: 'Client', cell: (row) => client(row.clientid), class: 'text' }, { name: 'topic', label: 'Filter', class: 'text' }, { name: 'qos', label: 'QoS', number: true },
    { name: 'share', label: 'Group' }, { name: 'subscription_id', label: 'Identifier', number: true }, { name: 'shard', label: 'Shard', number: true }],
  empty: 'No subscription fits.'
})

export const topics = (root, context) => listing(root, context, {
  title: 'Topics',
  path: '/topics',
  filters: [['match_topic', 'Matches topic', 'sensors/7/state'], ['like_topic', 'Filter', 'part of it']],
  columns: () => [{ label: 'Filter', cell: (row) => h('a', { href: `#/subscriptions${query({ topic: row.topic })}` }, row.topic), class: 'text' }, { name: 'share', label: 'Group' },
    { name: 'subscribers', label: 'Subscribers', number: true }, { name: 'shard', label: 'Shard', number: true }],
  empty: 'Nobody subscribes to anything that fits.'
})

// ---- retained messages ----------------------------------------------------------------------------------------------

// Base64 to how a person reads it: JSON with indents, text, or bytes in hexadecimal.
function readable (base64) {
  const raw = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))
  let text
  try { text = new TextDecoder('utf-8', { fatal: true }).decode(raw) } catch { /* no text */ }
  // eslint-disable-next-line no-control-regex
  if (text === undefined || /[\u0000-\u0008\u000e-\u001f]/.test(text)) {
    return Array.from({ length: Math.ceil(raw.length / 16) }, (_, line) =>
      `${(line * 16).toString(16).padStart(6, '0')}  ${Array.from(raw.slice(line * 16, line * 16 + 16), (one) => one.toString(16).padStart(2, '0')).join(' ')}`).join('\n')
  }
  try { return JSON.stringify(JSON.parse(text), null, 2) } catch { return text }
}

async function show (row) {
  const message = await get(`/retained/${encodeURIComponent(row.topic)}`)
  const properties = Object.entries(message.properties).flatMap(([name, value]) => name === 'user_properties' ? value.map((one) => [one.name, one.value]) : [[name, String(value)]])
  await dialog('Retained message', () => h('div', null,
    facts([['Topic', h('span', { class: 'text' }, message.topic)], ['QoS', message.qos], ['Size', bytes(message.payload_bytes)], ['Expires', message.expires_at ? time(message.expires_at) : 'never'], ...properties]),
    message.payload === null ? h('p', null, 'The payload is larger than admin.max_payload.') : h('pre', { class: 'payload', tabindex: '0' }, readable(message.payload))))
}

export const retained = (root, context) => listing(root, context, {
  title: 'Retained messages',
  path: '/retained',
  filters: [['topic', 'Filter', 'site/+/state']],
  above: (load, view) => may('operator') && h('p', null, h('button', { type: 'button', class: 'danger', onclick: act(async () => {
    const filter = view.topic || '#'
    if (!await confirm(`Remove all retained messages that match ${filter}?`, 'Remove them')) return
    const { deleted } = await remove(`/retained${query({ topic: filter })}`)
    toast(`${deleted} removed.`)
    await load()
  }) }, 'Remove all that match')),
  columns: (load) => [
    { label: 'Topic', class: 'text', cell: (row) => h('button', { type: 'button', class: 'link', onclick: act(() => show(row)) }, row.topic) },
    { name: 'qos', label: 'QoS', number: true }, { label: 'Size', number: true, cell: (row) => bytes(row.payload_bytes) },
    { label: 'Expires', cell: (row) => row.expires_at ? time(row.expires_at) : 'never' }, { name: 'shard', label: 'Shard', number: true },
    may('operator') && { label: '', cell: (row) => h('button', { type: 'button', 'aria-label': `Remove ${row.topic}`, onclick: act(async () => {
      if (!await confirm(`Remove the retained message of ${row.topic}?`, 'Remove it')) return
      await remove(`/retained/${encodeURIComponent(row.topic)}`)
      await load()
    }) }, 'Remove') }
  ].filter(Boolean),
  empty: 'No retained message fits.'
})
