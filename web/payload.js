// payload.js - payloads as people read them.

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
  try { return JSON.stringify(JSON.parse(text), null, 2) } catch { return text }
}
