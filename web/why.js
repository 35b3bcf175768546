// why.js - why a message does or does not arrive: what would become of a publish, step by step, as the broker would decide it now.
import { h, fill, facts, badge, clientLink } from './dom.js'
import { act } from './dialog.js'
import { field, select } from './form.js'
import { table } from './table.js'
import { get, query } from './api.js'

const VERDICTS = { yes: ['It would be sent now.', 'good'], later: ['It would wait.', 'warn'], perhaps: ['That cannot be known before.', 'warn'], no: ['It would not arrive.', 'bad'] }
const RESULTS = { pass: ['goes on', 'good'], stop: ['ends here', 'bad'], later: ['waits', 'warn'], perhaps: ['not sure', 'warn'], note: ['note', ''] }

function explained (why) {
  const [says, kind] = VERDICTS[why.verdict] ?? [why.verdict, '']
  return [h('div', { class: `verdict ${kind}`, role: 'status' }, h('b', null, says), ' ', h('span', { class: 'text' }, why.summary)),
    why.delivery && facts([['Client', clientLink(why.clientid)], ['Topic as it sees it', h('span', { class: 'text' }, why.delivery.topic)], ['QoS', why.delivery.qos], ['Retain', why.delivery.retain ? 'yes' : 'no'],
      why.delivery.subscription_ids.length > 0 && ['Subscription identifiers', why.delivery.subscription_ids.join(', ')]]),
    h('h2', null, 'Step by step'), table('Steps', [{ label: 'Step', cell: (row) => row.step === why.decided_by ? h('b', null, row.step.replaceAll('_', ' ')) : row.step.replaceAll('_', ' ') },
      { label: '', cell: (row) => badge(RESULTS[row.result]?.[0] ?? row.result, RESULTS[row.result]?.[1]) }, { label: 'What the broker finds', class: 'said', cell: (row) => h('span', { class: 'text' }, row.text) }], why.steps, { key: (row) => row.step }),
    h('h2', null, 'Its subscriptions that match'), table('Matching subscriptions', [{ name: 'filter', label: 'Filter', class: 'text' }, { name: 'share', label: 'Group' }, { name: 'qos', label: 'QoS', number: true }, { label: 'Takes it', cell: (row) => row.takes ? badge('yes', 'good') : badge('no', 'bad') },
      { label: 'Because', class: 'said', cell: (row) => h('span', { class: 'text' }, row.text) }], why.subscriptions, { empty: 'None of its subscriptions matches the topic.' })]
}

export async function why (root, context) {
  const asked = context.query
  const text = (name, required, placeholder) => h('input', { name, required, value: asked[name] ?? '', placeholder, autocomplete: 'off', spellcheck: 'false', type: name === 'clientid' ? 'search' : 'text' })
  const client = text('clientid', true, 'who should get it'); const topic = text('topic', true, 'sensors/7/state'); const from = text('from', false, 'anybody')
  const qos = select([['0', '0'], ['1', '1'], ['2', '2']], { value: asked.qos ?? '0' }); const retain = select([['false', 'no'], ['true', 'yes']], { value: asked.retain ?? 'false' })
  const size = h('input', { type: 'number', min: 0, value: asked.payload_bytes ?? '', placeholder: '0' })
  const place = h('section')
  const explain = async () => {
    const values = { clientid: client.value, topic: topic.value, from: from.value, qos: qos.value, retain: retain.value, payload_bytes: size.value }
    fill(place, explained(await get(`/why${query(values)}`, context.signal)))
    context.remember(values)
  }
  fill(root, h('h1', null, 'Why'), h('p', { class: 'about' }, 'Why a message does or does not arrive: what would become of it now, and which rule, limit or filter decides. Nothing is published.'),
    h('form', { class: 'filters', onsubmit: act(explain) }, field('Client', client), field('Topic', topic), field('Published by', from), field('QoS', qos), field('Retain', retain), field('Payload bytes', size), h('button', { class: 'primary' }, 'Explain')), place)
  if (asked.clientid && asked.topic) await explain()
}
