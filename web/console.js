// console.js - a message console: a client of MQTT over the broker's own WebSocket listener. It goes on while other pages are looked at.
import { h, fill, refill, badge } from './dom.js'
import { bytes } from './format.js'
import { act } from './dialog.js'
import { field, select } from './form.js'
import { get } from './api.js'
import { MqttClient } from './mqtt.js'

const MESSAGES_MAX = 500
const kept = { client: null, state: '', good: false, url: '', messages: [], all: 0, filters: new Map(), paused: false, show: () => {} }

// The first WebSocket listener of the broker, by the name this page was asked for.
async function usualUrl (signal) {
  const [{ data: all }, { data: keys }] = await Promise.all([get('/listeners', signal), get('/configs?like_key=path', signal)])
  const wanted = location.protocol === 'https:' ? ['wss', 'ws'] : ['ws', 'wss']
  const found = wanted.map((type) => all.find((one) => one.type === type && one.status === 'running')).find(Boolean)
  if (!found) return null
  const path = keys.find((one) => one.key === `listeners.${found.id}.path` || one.key === `listeners.${found.id}.websocket.path`)?.value ?? '/mqtt'
  return `${found.type}://${location.hostname}:${found.port}${path}`
}

function payload (message) {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(message.payload)
    // eslint-disable-next-line no-control-regex
    if (!/[\u0000-\u0008\u000e-\u001f]/.test(text)) return text.length > 2000 ? `${text.slice(0, 2000)} …` : text
  } catch { /* no text */ }
  return Array.from(message.payload.slice(0, 256), (one) => one.toString(16).padStart(2, '0')).join(' ') + (message.payload.length > 256 ? ' …' : '')
}

function one (message) {
  const details = message.properties.map(([name, value]) => `${name}: ${value instanceof Uint8Array ? `${value.length} bytes` : Array.isArray(value) ? value.join(' = ') : value}`).join(', ')
  return h('li', null, h('header', null, h('time', null, message.at.toLocaleTimeString()), h('b', { class: 'text' }, message.topic), badge(`QoS ${message.qos}`), message.retain && badge('retained', 'good'),
    message.dup && badge('again', 'warn'), h('small', null, bytes(message.payload.length))), h('pre', { class: 'payload' }, payload(message)), details && h('small', { class: 'text' }, details))
}

export async function messages (root, context) {
  const url = h('input', { value: kept.url, required: true, name: 'url', size: 32 })
  const clientId = h('input', { value: `dashboard-${Math.random().toString(36).slice(2, 10)}`, name: 'clientid' })
  const username = h('input', { autocomplete: 'off' }); const password = h('input', { type: 'password', autocomplete: 'off' })
  const filter = h('input', { required: true, value: '#', name: 'filter' }); const filterQos = select([['0', '0'], ['1', '1'], ['2', '2']])
  const topic = h('input', { required: true, name: 'topic' }); const text = h('textarea', { rows: 4, cols: 50, name: 'payload', spellcheck: 'false' }); const qos = select([['0', '0'], ['1', '1'], ['2', '2']]); const retain = h('input', { type: 'checkbox' })
  const contentType = h('input', { placeholder: 'application/json' }); const responseTopic = h('input'); const expiry = h('input', { type: 'number', min: 1, max: 4294967295, placeholder: 'never' }); const user = h('textarea', { rows: 2, cols: 24, placeholder: 'name = value, a line each', spellcheck: 'false' })
  const connection = h('section'); const list = h('ol', { class: 'messages', 'aria-label': 'Messages', 'aria-live': 'off', tabindex: '0' }); const count = h('span'); const filters = h('ul', { class: 'chips' })
  const connect = act(async () => {
    kept.url = url.value
    kept.state = 'Connecting …'
    kept.good = false
    kept.client?.close()
    const client = new MqttClient(url.value, { clientId: clientId.value, username: username.value, password: password.value }, {
      open () { kept.state = 'Connected.'; kept.good = true; kept.show() },
      close (why) {
        if (kept.client !== client) return
        kept.client = null
        kept.state = why
        kept.good = false
        kept.filters.clear()
        kept.show()
      },
      message (message) {
        kept.all++
        if (!kept.paused) {
          kept.messages.unshift({ ...message, at: new Date() })
          kept.messages.length = Math.min(kept.messages.length, MESSAGES_MAX)
        }
        kept.show()
      }
    })
    kept.client = client
    kept.show()
  })
  const properties = () => [contentType.value && ['content type', contentType.value], responseTopic.value && ['response topic', responseTopic.value], expiry.value && ['message expiry', Number(expiry.value)],
    ...user.value.split('\n').filter((line) => line.trim()).map((line) => ['user property', [line.split('=')[0].trim(), line.split('=').slice(1).join('=').trim()]])].filter(Boolean)
  const using = (work, done) => act(async () => {
    if (!kept.good) throw new Error('Connect first.')
    await work()
    kept.show()
  }, done)

  let drawn = 0 // at most ten times a second, however many messages come
  let due = null
  let shown; let chips // what stands there: a button that is drawn anew ten times a second cannot be clicked
  function drawConnection () {
    const now = `${kept.good} ${kept.state}`
    if (now === shown) return
    shown = now
    fill(connection, kept.good
      ? h('div', { class: 'buttons' }, badge('connected', 'good'), kept.url, h('button', { type: 'button', onclick: () => kept.client?.close() }, 'Disconnect'))
      : h('form', { class: 'filters', onsubmit: connect }, field('Broker', url), field('Client id', clientId), field('User', username), field('Password', password), h('button', { class: 'primary' }, 'Connect'), h('p', { class: 'problem', role: 'status' }, kept.state)))
  }
  function drawFilters () {
    const now = JSON.stringify([...kept.filters])
    if (now === chips) return
    chips = now
    fill(filters, [...kept.filters].map(([name, granted]) => h('li', null, h('span', { class: 'text' }, name), ` QoS ${granted} `, h('button', { type: 'button', class: 'plain', 'aria-label': `Unsubscribe ${name}`, onclick: using(async () => {
      await kept.client.unsubscribe(name)
      kept.filters.delete(name)
    }) }, '✕'))))
  }
  function draw () {
    due = null
    drawn = Date.now()
    drawConnection()
    drawFilters()
    count.textContent = `${kept.all} received, the last ${kept.messages.length} shown${kept.paused ? ', paused' : ''}`
    refill(list, kept.messages.map(one))
  }
  let state
  kept.show = () => {
    const now = `${kept.good} ${kept.state}`
    if (state !== now) { state = now; clearTimeout(due); draw(); return }
    due ??= setTimeout(draw, Math.max(0, drawn + 100 - Date.now()))
  }
  context.onEnd(() => { clearTimeout(due); kept.show = () => {} })

  fill(root, h('h1', null, 'Messages'), connection,
    h('div', { class: 'columns' },
      h('section', null, h('h2', null, 'Subscribe'), h('form', { class: 'filters', onsubmit: using(async () => {
        const granted = await kept.client.subscribe(filter.value, Number(filterQos.value))
        kept.filters.set(filter.value, granted)
      }) }, field('Filter', filter), field('QoS', filterQos), h('button', null, 'Subscribe')), filters),
      h('section', null, h('h2', null, 'Publish'), h('form', { class: 'filters', onsubmit: using(() => kept.client.publish(topic.value, text.value, { qos: Number(qos.value), retain: retain.checked, properties: properties() }), 'Published.') },
        field('Topic', topic), field('QoS', qos), field('Retain', retain), h('div', { class: 'row' }, field('Payload', text)),
        h('details', { class: 'row' }, h('summary', null, 'Properties'), h('div', { class: 'filters' }, field('Content type', contentType), field('Response topic', responseTopic), field('Expires after, s', expiry), field('User properties', user))), h('button', { class: 'primary' }, 'Publish')))),
    h('h2', null, 'Received'), h('div', { class: 'buttons' }, count, h('button', { type: 'button', onclick: (event) => { kept.paused = !kept.paused; event.currentTarget.textContent = kept.paused ? 'Go on' : 'Pause'; kept.show() } }, kept.paused ? 'Go on' : 'Pause'),
      h('button', { type: 'button', onclick: () => { kept.messages = []; kept.all = 0; kept.show() } }, 'Clear')), list)
  if (!kept.url) kept.url = url.value = await usualUrl(context.signal) ?? ''
  if (!kept.url) kept.state = 'The broker has no WebSocket listener: write listeners.ws.default {} into its configuration.'
  kept.show()
}

addEventListener('ringmq-logout', () => { kept.client?.close(); Object.assign(kept, { messages: [], all: 0 }) })
