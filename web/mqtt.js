// mqtt.js - a client of MQTT 5 over WebSocket, as much as the message console needs: clean start, QoS 0 to 2 both ways, properties, pings. It does not
// reconnect: a person looks at it, and sees when the connection is gone.

const CONNECT = 1; const CONNACK = 2; const PUBLISH = 3; const PUBACK = 4; const PUBREC = 5; const PUBREL = 6; const PUBCOMP = 7; const SUBSCRIBE = 8; const SUBACK = 9
const UNSUBSCRIBE = 10; const UNSUBACK = 11; const PINGREQ = 12; const PINGRESP = 13; const DISCONNECT = 14

const utf8 = new TextEncoder()
const text = new TextDecoder()

// Table 2-4: how the value of each property is written.
const PROPERTIES = {
  1: ['payload format', 'byte'], 2: ['message expiry', 'four'], 3: ['content type', 'text'], 8: ['response topic', 'text'], 9: ['correlation data', 'binary'], 11: ['subscription identifier', 'variable'],
  17: ['session expiry', 'four'], 18: ['assigned client id', 'text'], 19: ['server keep alive', 'two'], 21: ['authentication method', 'text'], 22: ['authentication data', 'binary'], 26: ['response information', 'text'],
  28: ['server reference', 'text'], 31: ['reason', 'text'], 33: ['receive maximum', 'two'], 34: ['topic alias maximum', 'two'], 35: ['topic alias', 'two'], 36: ['maximum QoS', 'byte'], 37: ['retain available', 'byte'],
  38: ['user property', 'pair'], 39: ['maximum packet size', 'four'], 40: ['wildcards', 'byte'], 41: ['subscription identifiers', 'byte'], 42: ['shared subscriptions', 'byte']
}

const REASONS = {
  0x80: 'unspecified error', 0x81: 'malformed packet', 0x82: 'protocol error', 0x83: 'implementation specific error', 0x84: 'unsupported protocol version', 0x85: 'client identifier not valid', 0x86: 'bad user name or password',
  0x87: 'not authorized', 0x88: 'server unavailable', 0x89: 'server busy', 0x8a: 'banned', 0x8b: 'server shutting down', 0x8d: 'keep alive timeout', 0x8e: 'session taken over', 0x8f: 'topic filter invalid', 0x90: 'topic name invalid',
  0x91: 'packet identifier in use', 0x93: 'receive maximum exceeded', 0x95: 'packet too large', 0x97: 'quota exceeded', 0x98: 'administrative action', 0x99: 'payload format invalid', 0x9a: 'retain not supported', 0x9b: 'QoS not supported',
  0x9d: 'server moved', 0x9e: 'shared subscriptions not supported', 0x9f: 'connection rate exceeded', 0xa1: 'subscription identifiers not supported', 0xa2: 'wildcard subscriptions not supported'
}
export const reason = (code) => `0x${code.toString(16).padStart(2, '0')} ${REASONS[code] ?? ''}`.trim()

class Writer {
  bytes = []
  byte (value) { this.bytes.push(value & 255); return this }
  two (value) { return this.byte(value >> 8).byte(value) }
  four (value) { return this.two(value >>> 16).two(value & 65535) }
  raw (array) { for (const one of array) this.bytes.push(one); return this }
  variable (value) { do { const low = value % 128; value = Math.floor(value / 128); this.byte(low | (value ? 128 : 0)) } while (value); return this }
  binary (array) {
    if (array.length > 65535) throw new Error('A text of MQTT may have 65535 bytes.')
    return this.two(array.length).raw(array)
  }

  text (value) { return this.binary(utf8.encode(value)) }
  pair ([name, value]) { return this.text(name).text(value) }
  properties (list) { // [[name as in PROPERTIES, value]]
    const block = new Writer()
    for (const [name, value] of list) {
      const [id, [, type]] = Object.entries(PROPERTIES).find(([, [known]]) => known === name)
      block.byte(Number(id))[type](value)
    }
    return this.variable(block.bytes.length).raw(block.bytes)
  }

  packet (kind, flags) { return new Uint8Array(new Writer().byte(kind << 4 | flags).variable(this.bytes.length).raw(this.bytes).bytes) }
}

class Reader {
  at = 0
  constructor (bytes) { this.bytes = bytes }
  need (count) { if (this.at + count > this.bytes.length) throw new Error('The broker sent a packet that ends too early.') }
  byte () { this.need(1); return this.bytes[this.at++] }
  two () { return this.byte() << 8 | this.byte() }
  four () { return this.two() * 65536 + this.two() }
  variable () { let value = 0; for (let scale = 1; ; scale *= 128) { const one = this.byte(); value += (one & 127) * scale; if (one < 128) return value } }
  binary () { const length = this.two(); this.need(length); return this.bytes.subarray(this.at, this.at += length) }
  text () { return text.decode(this.binary()) }
  pair () { return [this.text(), this.text()] }
  rest () { return this.bytes.subarray(this.at) }
  get left () { return this.bytes.length - this.at }
  properties () {
    const length = this.variable(); const end = this.at + length; const found = []
    while (this.at < end) {
      const id = this.variable()
      if (!PROPERTIES[id]) throw new Error(`The broker sent property ${id}, which there is none of.`)
      found.push([...PROPERTIES[id].slice(0, 1), this[PROPERTIES[id][1]]()])
    }
    return found
  }
}

// on: { open(properties), message({ topic, payload, qos, retain, dup, properties }), close(why) }. Promises of publish() and subscribe() end with the broker's answer.
export class MqttClient {
  waiting = new Map() // packet id: { resolve, reject }
  received = new Set() // packet ids of QoS 2 messages that are not released yet
  next = 1
  buffered = new Uint8Array(0)

  constructor (url, { clientId, username, password, keepAlive = 30 }, on) {
    this.on = on
    this.closed = false
    this.socket = new WebSocket(url, 'mqtt')
    this.socket.binaryType = 'arraybuffer'
    this.socket.onopen = () => {
      const packet = new Writer().text('MQTT').byte(5).byte(2 | (username ? 128 : 0) | (password ? 64 : 0)).two(keepAlive).variable(0).text(clientId)
      if (username) packet.text(username)
      if (password) packet.text(password)
      this.send(packet.packet(CONNECT, 0))
      this.keepAlive = keepAlive
    }
    this.socket.onmessage = ({ data }) => {
      try { this.take(new Uint8Array(data)) } catch (error) { this.end(error.message) }
    }
    this.socket.onclose = () => this.end(this.acknowledged ? 'The broker closed the connection.' : 'No connection: is the address right, and does the listener take WebSocket?')
  }

  send (bytes) { if (this.socket.readyState === WebSocket.OPEN) this.socket.send(bytes) }

  end (why) {
    if (this.closed) return
    this.closed = true
    clearInterval(this.pinging)
    this.socket.close()
    for (const one of this.waiting.values()) one.reject(new Error(why))
    this.on.close(why)
  }

  close () {
    this.send(new Writer().packet(DISCONNECT, 0))
    this.end('Closed.')
  }

  // Frames may hold several packets, or a part of one.
  take (bytes) {
    const all = new Uint8Array(this.buffered.length + bytes.length)
    all.set(this.buffered)
    all.set(bytes, this.buffered.length)
    let at = 0
    for (;;) {
      let length = 0; let place = at + 1; let scale = 1
      for (;; scale *= 128) {
        if (place >= all.length) { this.buffered = all.slice(at); return }
        const one = all[place++]
        length += (one & 127) * scale
        if (one < 128) break
      }
      if (place + length > all.length) { this.buffered = all.slice(at); return }
      this.packet(all[at] >> 4, all[at] & 15, new Reader(all.subarray(place, place + length)))
      at = place + length
    }
  }

  packet (kind, flags, reader) {
    switch (kind) {
      case CONNACK: {
        reader.byte()
        const code = reader.byte(); const properties = reader.properties()
        if (code) return this.end(`The broker refuses: ${reason(code)}${this.says(properties)}`)
        this.acknowledged = true
        const told = properties.find(([name]) => name === 'server keep alive') // and not ours, then [MQTT-3.2.2-21]
        const keepAlive = told ? told[1] : this.keepAlive
        if (keepAlive) this.pinging = setInterval(() => this.send(new Writer().packet(PINGREQ, 0)), keepAlive * 700)
        return this.on.open(properties)
      }
      case PUBLISH: return this.message(flags, reader)
      case PUBREL: {
        const id = reader.two()
        this.received.delete(id)
        return this.send(new Writer().two(id).packet(PUBCOMP, 0))
      }
      case PUBREC: {
        const id = reader.two(); const code = reader.left ? reader.byte() : 0
        if (code >= 0x80) return this.answer(id, code)
        return this.send(new Writer().two(id).packet(PUBREL, 2))
      }
      case PUBACK: case PUBCOMP: return this.answer(reader.two(), reader.left ? reader.byte() : 0)
      case SUBACK: case UNSUBACK: {
        const id = reader.two()
        reader.properties()
        return this.answer(id, reader.byte())
      }
      case DISCONNECT: {
        const code = reader.left ? reader.byte() : 0; const properties = reader.left ? reader.properties() : []
        return this.end(`The broker disconnected: ${reason(code)}${this.says(properties)}`)
      }
      case PINGRESP: return
      default: throw new Error(`The broker sent a packet of type ${kind}.`)
    }
  }

  says (properties) {
    const found = properties.find(([name]) => name === 'reason')
    return found ? `: ${found[1]}` : ''
  }

  message (flags, reader) {
    const qos = flags >> 1 & 3; const topic = reader.text(); const id = qos ? reader.two() : 0
    const properties = reader.properties()
    const again = qos === 2 && this.received.has(id)
    if (qos === 1) this.send(new Writer().two(id).packet(PUBACK, 0))
    if (qos === 2) { this.received.add(id); this.send(new Writer().two(id).packet(PUBREC, 0)) }
    if (!again) this.on.message({ topic, payload: reader.rest().slice(), qos, retain: (flags & 1) === 1, dup: (flags & 8) !== 0, properties })
  }

  answer (id, code) {
    const one = this.waiting.get(id)
    this.waiting.delete(id)
    if (code >= 0x80) one?.reject(new Error(`The broker refuses: ${reason(code)}`)); else one?.resolve(code)
  }

  // A packet id, and the promise of its answer.
  numbered (make) {
    if (this.waiting.size >= 65535) return Promise.reject(new Error('Too many packets wait for an answer.'))
    while (this.waiting.has(this.next)) this.next = this.next % 65535 + 1
    const id = this.next
    this.next = this.next % 65535 + 1
    return new Promise((resolve, reject) => { this.waiting.set(id, { resolve, reject }); this.send(make(id)) })
  }

  subscribe (filter, qos) { return this.numbered((id) => new Writer().two(id).variable(0).text(filter).byte(qos).packet(SUBSCRIBE, 2)) }
  unsubscribe (filter) { return this.numbered((id) => new Writer().two(id).variable(0).text(filter).packet(UNSUBSCRIBE, 2)) }

  async publish (topic, payload, { qos = 0, retain = false, properties = [] } = {}) {
    const packet = (id) => {
      const writer = new Writer().text(topic)
      if (id) writer.two(id)
      return writer.properties(properties).raw(utf8.encode(payload)).packet(PUBLISH, qos << 1 | (retain ? 1 : 0))
    }
    return qos ? await this.numbered(packet) : this.send(packet(0))
  }
}
