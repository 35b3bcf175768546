// retained.js - retained messages.
import { button, h, facts } from './dom.js'
import { bytes, time } from './format.js'
import { act, confirm, dialog, toast } from './dialog.js'
import { listing } from './listing.js'
import { readable } from './payload.js'
import { get, remove, query, may, segment } from './api.js'

async function show (row) {
  const message = await get(`/retained/${segment(row.topic)}`)
  const properties = Object.entries(message.properties).flatMap(([name, value]) => name === 'user_properties' ? value.map((one) => [one.name, one.value]) : [[name, String(value)]])
  await dialog('Retained message', () => h('div', null,
    facts([['Topic', h('span', { class: 'text' }, message.topic)], ['QoS', message.qos], ['Size', bytes(message.payload_bytes)], ['Expires', message.expires_at ? time(message.expires_at) : 'never'], ...properties]),
    message.payload === null ? h('p', null, 'The payload is larger than admin.max_payload.') : h('pre', { class: 'payload', tabindex: '0' }, readable(message.payload))), { wide: true })
}

export const retained = (root, context) => listing(root, context, {
  title: 'Retained messages',
  path: '/retained',
  limit: 100,
  filters: [{ name: 'topic', label: 'Filter', hint: 'site/+/state' }],
  key: (row) => row.topic,
  actions: ({ load, view }) => may('operator') && button('Remove all that match', act(async () => {
    const filter = view.topic || '#'
    if (!await confirm(`Remove all retained messages that match ${filter}?`, 'Remove them')) return
    const { deleted } = await remove(`/retained${query({ topic: filter })}`)
    toast(`${deleted} removed.`)
    await load()
  }), { kind: 'danger' }),
  columns: ({ load }) => [
    { label: 'Topic', class: 'text', cell: (row) => button(row.topic, act(() => show(row)), { kind: 'link' }) },
    { name: 'qos', label: 'QoS', number: true }, { label: 'Size', number: true, cell: (row) => bytes(row.payload_bytes) },
    { label: 'Expires', cell: (row) => row.expires_at ? time(row.expires_at) : 'never' }, { name: 'shard', label: 'Shard', number: true },
    may('operator') && { label: '', cell: (row) => button('Remove', act(async () => {
      if (!await confirm(`Remove the retained message of ${row.topic}?`, 'Remove it')) return
      await remove(`/retained/${segment(row.topic)}`)
      await load()
    }), { name: `Remove ${row.topic}` }) }
  ],
  empty: 'No retained message fits.'
})
