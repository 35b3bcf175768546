// node browser_test.mjs PORT VERSION PREFIX: MQTT.js in a headless Chromium (Debian's), from a page with an origin of its own. Prints as
// paho_test.py does. Modules are taken from the directory in BROWSER_MODULES; TRANSPORT is ws or wss.
import { createServer } from 'node:http'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const modules = process.env.BROWSER_MODULES
const puppeteer = createRequire(modules + '/')('puppeteer-core')
const [port, version, prefix] = process.argv.slice(2)
const transport = process.env.TRANSPORT ?? 'ws'
const url = `${transport}://${transport === 'wss' ? 'localhost' : '127.0.0.1'}:${port}/mqtt`
const library = readFileSync(`${modules}/node_modules/mqtt/dist/mqtt.min.js`)

const server = createServer((request, response) => {
  const script = request.url === '/mqtt.js'
  response.setHeader('Content-Type', script ? 'text/javascript' : 'text/html')
  response.end(script ? library : '<!doctype html><title>test</title><script src="/mqtt.js"></script>')
})
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))

// Runs in the page. Returns what went wrong, or nothing.
const tests = {
  async round_trips (t) {
    const one = await t.open('one'); const two = await t.open('two')
    await two.subscribe('rt/#', 2)
    for (const qos of [0, 1, 2]) {
      for (const bytes of [0, 1, 125, 126, 1000, 65535, 65536, 300000]) {
        const payload = new Uint8Array(bytes).map((_, i) => (i * 7 + qos) & 255)
        await one.client.publishAsync(t.topic(`rt/${qos}`), payload, { qos })
        const message = await two.message()
        t.equal(message.topic, t.topic(`rt/${qos}`)); t.equal(message.qos, qos); t.equal(message.payload.length, bytes)
        t.check(message.payload.every((b, i) => b === payload[i]), `payload of ${bytes} bytes`)
      }
    }
    await one.end(); await two.end()
  },
  async retained (t) {
    const one = await t.open('keeper')
    await one.client.publishAsync(t.topic('kept'), 'kept', { qos: 1, retain: true })
    const two = await t.open('late'); await two.subscribe('kept', 1)
    const message = await two.message(); t.equal(message.payload.toString(), 'kept'); t.check(message.retain, 'retain flag')
    await one.client.publishAsync(t.topic('kept'), '', { qos: 1, retain: true })
    await one.end(); await two.end()
  },
  async many_in_order (t) {
    const one = await t.open('from'); const two = await t.open('to')
    await two.subscribe('many', 1)
    const sent = []
    for (let i = 0; i < 2000; i++) sent.push(one.client.publishAsync(t.topic('many'), String(i), { qos: 1 }))
    for (let i = 0; i < 2000; i++) t.equal((await two.message()).payload.toString(), String(i))
    await Promise.all(sent); await one.end(); await two.end()
  },
  async session_resume (t) {
    const options = { clean: false, ...(t.v5 ? { properties: { sessionExpiryInterval: 100 } } : {}) }
    const first = await t.open('stays', options); await first.subscribe('queue', 1); await first.end()
    const other = await t.open('sender')
    for (let i = 0; i < 50; i++) await other.client.publishAsync(t.topic('queue'), String(i), { qos: 1 })
    const again = await t.open('stays', options); t.check(again.connack.sessionPresent, 'session present')
    for (let i = 0; i < 50; i++) t.equal((await again.message()).payload.toString(), String(i))
    await again.end(); await other.end()
  },
  async reconnects (t) { // the browser's own way: the socket is cut, MQTT.js comes back
    const one = await t.open('back', { reconnectPeriod: 100 }); await one.subscribe('b', 1)
    const connected = new Promise((resolve) => one.client.once('connect', resolve))
    one.client.stream.destroy()
    await t.within(connected, 'a second CONNACK')
    await one.client.publishAsync(t.topic('b'), 'here', { qos: 1 }); await one.message(); await one.end()
  }
}

const inPage = (name, body, url, version, prefix) => {
  const v5 = version === '5'
  const topic = (text) => `${prefix}/${text}`
  const within = (promise, what) => Promise.race([promise, new Promise((_resolve, reject) => setTimeout(() => reject(new Error(`not in time: ${what}`)), 45000))])
  const check = (condition, what) => { if (!condition) throw new Error(what) }
  const t = { v5, topic, within, check, equal: (got, wanted) => check(got === wanted, `got ${got}, wanted ${wanted}`),
    async open (who, options = {}) {
      const peer = { messages: [], waiting: [], client: mqtt.connect(url, { protocolVersion: Number(version), clientId: `${prefix}-${who}`, reconnectPeriod: 0, ...options }) }
      peer.client.on('message', (name, payload, packet) => {
        const message = { topic: name, payload, qos: packet.qos, retain: packet.retain }
        peer.waiting.length ? peer.waiting.shift()(message) : peer.messages.push(message)
      })
      peer.message = () => peer.messages.length ? Promise.resolve(peer.messages.shift()) : within(new Promise((resolve) => peer.waiting.push(resolve)), 'a message')
      peer.subscribe = (text, qos) => within(peer.client.subscribeAsync(topic(text), { qos }), 'SUBACK')
      peer.end = () => within(peer.client.endAsync(), 'the end')
      peer.connack = await within(new Promise((resolve, reject) => { peer.client.once('connect', resolve); peer.client.once('error', reject) }), 'CONNACK')
      return peer
    } }
  return Function(`return { ${body} }`)()[name](t).then(() => null, (error) => String(error.stack ?? error))
}

const flags = ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', ...(transport === 'wss' ? ['--ignore-certificate-errors'] : [])]
const browser = await puppeteer.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', headless: true, args: flags })
let failed = 0
try {
  const page = await browser.newPage()
  await page.goto(`http://127.0.0.1:${server.address().port}/`)
  for (const [name, test] of Object.entries(tests)) {
    const wrong = await page.evaluate(inPage, name, test.toString(), url, version, prefix)
    failed += wrong !== null
    console.log(wrong === null ? `ok ${name}` : `FAILED ${name}: ${wrong}`)
  }
} finally {
  await browser.close()
  server.close()
}
process.exit(failed ? 1 : 0)
