// delayed.js - messages that wait for their time ($delayed/SECONDS/TOPIC).
import { button, facts, h } from './dom.js'
import { bytes, duration, time } from './format.js'
import { act, confirm, dialog, toast } from './dialog.js'
import { listing } from './listing.js'
import { readable } from './payload.js'
import { get, remove, may, segment } from './api.js'

async function show (row) {
  const message = await get(`/delayed/${segment(row.id)}`)
  await dialog('Delayed message', () => h('div', null, facts([['Topic', h('span', { class: 'text' }, message.topic)], ['QoS', message.qos], ['Retain', message.retain ? 'yes' : 'no'], ['Due', time(message.due_at)], ['Size', bytes(message.payload_bytes)]]),
    typeof message.payload === 'string' ? h('pre', { class: 'payload', tabindex: '0' }, readable(message.payload)) : h('p', null, 'The payload is larger than admin.max_payload.')), { wide: true })
}

export const delayed = (root, context) => listing(root, context, {
  title: 'Delayed messages',
  path: '/delayed',
  off: 'delayed.',
  limit: 100,
  about: 'Messages published to $delayed/SECONDS/TOPIC that wait for their time.',
  every: 5000,
  key: (row) => row.id,
  empty: 'No message waits for its time.',
  actions: ({ load }) => may('operator') && button('Remove all', act(async () => {
    if (!await confirm('Remove all delayed messages? They are never published.', 'Remove them')) return
    const { deleted } = await remove('/delayed')
    toast(`${deleted} removed.`)
    await load()
  }), { kind: 'danger' }),
  columns: ({ load }) => [
    { label: 'Topic', class: 'text', cell: (row) => button(row.topic, act(() => show(row)), { kind: 'link' }) }, { label: 'Due', cell: (row) => time(row.due_at) }, { label: 'In', number: true, cell: (row) => duration(row.remaining_s) },
    { name: 'qos', label: 'QoS', number: true }, { label: 'Retain', cell: (row) => row.retain ? 'yes' : '' }, { label: 'Size', number: true, cell: (row) => bytes(row.payload_bytes) }, { name: 'shard', label: 'Shard', number: true },
    may('operator') && { label: '', cell: (row) => button('Remove', act(async () => {
      if (!await confirm(`Remove the delayed message to ${row.topic}? It is never published.`, 'Remove it')) return
      await remove(`/delayed/${segment(row.id)}`)
      await load()
    }), { name: `Remove ${row.topic}` }) }]
})
