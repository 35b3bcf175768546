// node mqttjs_test.mjs PORT VERSION PREFIX [hang]: MQTT.js against a broker; prints as paho_test.py does. MQTT.js is taken from
// the directory in the environment variable MQTTJS.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const mqtt = createRequire(process.env.MQTTJS + '/')('mqtt')
const [port, version, prefix, mode] = process.argv.slice(2)
const v5 = version === '5'
const transport = process.env.TRANSPORT ?? 'tcp'
const where = transport === 'wss' || transport === 'tls'
  ? { protocol: transport === 'tls' ? 'mqtts' : 'wss', host: 'localhost', path: '/mqtt', ca: readFileSync(process.env.CA_FILE) }
  : { protocol: transport, host: '127.0.0.1', path: '/mqtt' }
const topic = (name) => `${prefix}/${name}`
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const within = (promise, what, ms = 45000) => Promise.race([promise,
  new Promise((_, reject) => setTimeout(() => reject(new Error(`not in time: ${what}`)), ms).unref())])

class Peer {
  static async open (name, options = {}) {
    const peer = new Peer()
    peer.messages = []
    peer.waiting = []
    peer.client = mqtt.connect({ ...where, port: Number(port), protocolVersion: Number(version), clientId: name && topic(name).replace('/', '-'),
      reconnectPeriod: 0, ...options })
    peer.client.on('error', (error) => { peer.error = error })
    peer.client.on('message', (name, payload, packet) => {
      const message = { topic: name, payload, text: payload.toString(), ...packet }
      peer.waiting.length ? peer.waiting.shift()(message) : peer.messages.push(message)
    })
    peer.connack = await within(new Promise((resolve) => peer.client.once('connect', resolve)), 'CONNACK')
    return peer
  }

  message () {
    if (this.messages.length) return Promise.resolve(this.messages.shift())
    return within(new Promise((resolve) => this.waiting.push(resolve)), 'a message')
  }

  async nothing (ms = 300) {
    await sleep(ms)
    assert.deepEqual(this.messages.map((m) => m.topic), [])
  }

  async subscribe (filter, options) { return (await within(this.client.subscribeAsync(filter, options), 'SUBACK'))[0]?.qos }
  publish (name, payload, options = {}) { return within(this.client.publishAsync(name, payload, options), 'acknowledgement') }
  close () { return within(this.client.endAsync(), 'the end') }
}

const tests = {
  async round_trips () {
    const a = await Peer.open('a'); const b = await Peer.open('b')
    await a.subscribe(topic('to/a'), { qos: 2 })
    await b.subscribe(topic('to/b'), { qos: 2 })
    for (const [sender, receiver, name] of [[a, b, 'to/b'], [b, a, 'to/a']]) {
      for (const qos of [0, 1, 2]) {
        await sender.publish(topic(name), `qos ${qos}`, { qos })
        const got = await receiver.message()
        assert.deepEqual([got.topic, got.text, got.qos, got.retain], [topic(name), `qos ${qos}`, qos, false])
      }
    }
    await a.close(); await b.close()
  },

  async retained () {
    const a = await Peer.open('a'); const b = await Peer.open('b')
    for (const qos of [0, 1, 2]) await a.publish(topic(`kept/${qos}`), `kept ${qos}`, { qos, retain: true })
    await b.subscribe(topic('kept/+'), { qos: 2 })
    const got = []
    for (let i = 0; i < 3; i++) got.push(await b.message())
    assert.deepEqual(got.map((m) => [m.text, m.qos, m.retain]).sort(), [0, 1, 2].map((q) => [`kept ${q}`, q, true]))
    for (const qos of [0, 1, 2]) await a.publish(topic(`kept/${qos}`), '', { qos: 1, retain: true })
    for (let i = 0; i < 3; i++) assert.equal((await b.message()).retain, false)
    const c = await Peer.open('c')
    await c.subscribe(topic('kept/#'), { qos: 1 })
    await c.nothing()
    for (const peer of [a, b, c]) await peer.close()
  },

  async session_resume () {
    const options = { clean: false, ...(v5 ? { properties: { sessionExpiryInterval: 100 } } : {}) }
    let keep = await Peer.open('keep', options)
    await keep.subscribe(topic('queue'), { qos: 1 })
    await keep.close()
    const a = await Peer.open('a')
    for (let i = 0; i < 50; i++) await a.publish(topic('queue'), String(i), { qos: 1 + i % 2 })
    keep = await Peer.open('keep', options)
    assert.equal(keep.connack.sessionPresent, true)
    for (let i = 0; i < 50; i++) assert.equal((await keep.message()).text, String(i))
    await keep.close()
    keep = await Peer.open('keep', { clean: true })
    assert.equal(keep.connack.sessionPresent, false)
    await a.publish(topic('queue'), 'lost', { qos: 1 })
    await keep.nothing()
    await keep.close(); await a.close()
  },

  async large_payload () {
    const a = await Peer.open('a')
    await a.subscribe(topic('large'), { qos: 2 })
    const payload = Buffer.alloc(300000, Buffer.from([...Array(251).keys()]))
    for (const qos of [0, 1, 2]) {
      await a.publish(topic('large'), payload, { qos })
      assert.ok((await a.message()).payload.equals(payload))
    }
    await a.close()
  },

  async many_in_order () {
    const a = await Peer.open('a'); const b = await Peer.open('b')
    for (const [qos, count] of [[0, 2000], [1, 2000], [2, 600]]) {
      await b.subscribe(topic(`many/${qos}`), { qos })
      const sent = []
      for (let first = 0; first < count; first += 500) { // no more at once than the broker's receive maximum
        for (let i = first; i < Math.min(first + 500, count); i++) sent.push(a.publish(topic(`many/${qos}`), String(i), { qos }))
        await Promise.all(sent)
      }
      for (let i = 0; i < count; i++) assert.equal((await b.message()).text, String(i))
    }
    await b.nothing(100)
    await a.close(); await b.close()
  },

  async shared () {
    const members = [await Peer.open('s1'), await Peer.open('s2')]; const sender = await Peer.open('a')
    for (const member of members) await member.subscribe(`$share/${prefix}/${topic('work')}`, { qos: 1 })
    for (let i = 0; i < 100; i++) await sender.publish(topic('work'), String(i), { qos: 1 })
    for (let tries = 0; tries < 500 && members[0].messages.length + members[1].messages.length < 100; tries++) await sleep(10)
    const got = members.map((member) => member.messages.map((m) => Number(m.text)))
    assert.deepEqual([...got[0], ...got[1]].sort((x, y) => x - y), [...Array(100).keys()])
    assert.ok(got[0].length && got[1].length)
    for (const peer of [...members, sender]) await peer.close()
  },

  async takeover () {
    const first = await Peer.open('taken', { clean: false, ...(v5 ? { properties: { sessionExpiryInterval: 100 } } : {}) })
    await first.subscribe(topic('taken'), { qos: 1 })
    const told = v5 ? new Promise((resolve) => first.client.once('disconnect', resolve)) : { reasonCode: 0x8e }
    const closed = new Promise((resolve) => first.client.once('close', resolve))
    const second = await Peer.open('taken', { clean: false })
    await within(closed, 'the end of the first')
    assert.equal((await within(Promise.resolve(told), 'DISCONNECT')).reasonCode, 0x8e)
    assert.equal(second.connack.sessionPresent, true)
    await second.publish(topic('taken'), 'x', { qos: 1 })
    assert.equal((await second.message()).text, 'x')
    await second.close()
    await (await Peer.open('taken', { clean: true })).close()
  }
}

const tests5 = {
  async properties () {
    const a = await Peer.open('a'); const b = await Peer.open('b')
    await b.subscribe(topic('props/#'), { qos: 1, properties: { subscriptionIdentifier: 7, userProperties: { s: '1' } } })
    await b.subscribe(topic('props/+'), { qos: 1, properties: { subscriptionIdentifier: 9 } })
    await a.publish(topic('props/x'), 'hällo', { qos: 1, properties: { contentType: 'text/plain', responseTopic: 'answer/here',
      correlationData: Buffer.from([0, 1, 2]), messageExpiryInterval: 100, payloadFormatIndicator: true, userProperties: { k: ['1', '2'], e: 'é' } } })
    const got = (await b.message()).properties
    assert.deepEqual([got.contentType, got.responseTopic, [...got.correlationData], got.payloadFormatIndicator],
      ['text/plain', 'answer/here', [0, 1, 2], true])
    assert.deepEqual({ ...got.userProperties }, { k: ['1', '2'], e: 'é' })
    assert.deepEqual([...got.subscriptionIdentifier].sort(), [7, 9])
    assert.ok(got.messageExpiryInterval >= 98 && got.messageExpiryInterval <= 100)
    await a.close(); await b.close()
  },

  async topic_aliases_both_ways () {
    const a = await Peer.open('a', { autoAssignTopicAlias: true, autoUseTopicAlias: true, properties: { topicAliasMaximum: 5 } })
    const b = await Peer.open('b', { properties: { topicAliasMaximum: 3 } })
    await b.subscribe(topic('alias/#'), { qos: 1 })
    for (let i = 0; i < 30; i++) {
      await a.publish(topic(`alias/${i % 4}`), String(i), { qos: i % 2 })
      const got = await b.message()
      assert.deepEqual([got.topic, got.text], [topic(`alias/${i % 4}`), String(i)])
    }
    await a.close(); await b.close()
  },

  async reason_codes () {
    const a = await Peer.open('')
    assert.ok(a.connack.properties.assignedClientIdentifier)
    assert.equal(a.connack.properties.maximumPacketSize, 1 << 20)
    assert.equal(await a.subscribe(topic('q'), { qos: 1, nl: true }), 1)
    await a.publish(topic('q'), 'mine', { qos: 1 })
    await a.nothing()
    await assert.rejects(a.publish('$SYS/broker/x', 'x', { qos: 1 }), (error) => error.code === 0x87)
    await a.close()
    const b = await Peer.open('exp', { clean: false, properties: { sessionExpiryInterval: 1 } })
    await b.close()
    await sleep(2000)
    const c = await Peer.open('exp', { clean: false })
    assert.equal(c.connack.sessionPresent, false)
    await c.close()
  },

  async receive_maximum () {
    const b = await Peer.open('b', { properties: { receiveMaximum: 3 } }); const a = await Peer.open('a')
    await b.subscribe(topic('rm'), { qos: 2 })
    for (const qos of [1, 2]) { // MQTT.js tells of QoS 2 messages at PUBREL, so they may not be mixed
      await Promise.all([...Array(200).keys()].map((i) => a.publish(topic('rm'), String(i), { qos })))
      for (let i = 0; i < 200; i++) assert.equal((await b.message()).text, String(i))
    }
    await a.close(); await b.close()
  }
}

if (mode === 'hang') {
  await Peer.open('hang', { will: { topic: topic('will'), payload: Buffer.from('killed'), qos: 1, retain: true,
    ...(v5 ? { properties: { contentType: 'text/x-will', userProperties: { w: '1' } } } : {}) } })
  console.log('ready')
} else {
  for (const [name, test] of Object.entries(v5 ? { ...tests, ...tests5 } : tests)) {
    try {
      await test()
      console.log(`ok ${name}`)
    } catch (error) {
      console.log(`FAILED ${name}: ${error.stack}`)
    }
  }
  process.exit(0)
}
