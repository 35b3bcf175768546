// payload.js - payloads as people read them.

// JSON with indents, its words as they came: JSON.parse() would round numbers of more than 15 digits, and leave out names that stand twice.
function indented (text) {
  const words = text.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g)
  let out = ''; let depth = 0
  const line = () => `\n${'  '.repeat(Math.min(depth, 40))}`
  words.forEach((word, i) => {
    const empty = /[}\]]/.test(words[i + 1] ?? '') && /^[{[]$/.test(word)
    if (/^[{[]$/.test(word)) { depth++; out += empty ? word : word + line() } else if (/^[}\]]$/.test(word)) {
      depth--
      out += /^[{[]$/.test(words[i - 1]) ? word : line() + word
    } else out += word === ',' ? word + line() : word === ':' ? ': ' : word
  })
  return out
}

// Base64 to how a person reads it: JSON with indents, text, or bytes in hexadecimal.
export function readable (base64) {
  const raw = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))
  let text
  try { text = new TextDecoder('utf-8', { fatal: true }).decode(raw) } catch { /* no text */ }
  // eslint-disable-next-line no-control-regex
  if (text === undefined || /[\u0000-\u0008\u000e-\u001f]/.test(text)) {
    return Array.from({ length: Math.ceil(raw.length / 16) }, (_, line) =>
      `${(line * 16).toString(16).padStart(6, '0')}  ${Array.from(raw.slice(line * 16, line * 16 + 16), (one) => one.toString(16).padStart(2, '0')).join(' ')}`).join('\n')
  }
  try { JSON.parse(text) } catch { return text }
  return indented(text)
}
