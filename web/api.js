// api.js - the REST API: /api/v1 of the host this page came from. The token lives as long as the tab.

const PREFIX = '/api/v1'
let token = sessionStorage.getItem('token')
export const session = JSON.parse(sessionStorage.getItem('session') ?? 'null') ?? {} // username, role, version
const RANKS = ['viewer', 'operator', 'administrator']

export class ApiError extends Error {
  constructor (status, code, message) { super(message); this.status = status; this.code = code }
}

export const loggedIn = () => token !== null
export const may = (role) => RANKS.indexOf(session.role) >= RANKS.indexOf(role)

function forget () {
  token = null
  sessionStorage.clear()
  dispatchEvent(new Event('ringmq-logout'))
}

async function send (method, path, body, signal) {
  const headers = {}
  if (token) headers.Authorization = `Bearer ${token}`
  if (body !== undefined) headers['Content-Type'] = 'application/json'
  let answer
  try {
    answer = await fetch(PREFIX + path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal, credentials: 'omit' })
  } catch (error) {
    if (error.name === 'AbortError') throw error
    throw new ApiError(0, 'UNREACHABLE', 'The broker does not answer.')
  }
  if (answer.ok) return answer
  const said = await answer.json().catch(() => ({}))
  if (answer.status === 401 && path !== '/login') forget()
  throw new ApiError(answer.status, said.code ?? 'ERROR', said.message ?? `HTTP ${answer.status}`)
}

async function call (method, path, body, signal) {
  const answer = await send(method, path, body, signal)
  return answer.status === 204 ? null : await answer.json()
}

export const get = (path, signal) => call('GET', path, undefined, signal)
export const post = (path, body) => call('POST', path, body)
export const put = (path, body) => call('PUT', path, body)
export const remove = (path) => call('DELETE', path)

// A name as a segment of a path. "." and ".." are steps there, percent-encoded, too: they get a "~", and so does what looks like them then (docs/admin-api.md).
export const segment = (name) => (/^~*\.\.?$/.test(name) ? '~' : '') + encodeURIComponent(name)

// ?name=value&… of what has a value.
export function query (values) {
  const pairs = new URLSearchParams(Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== ''))
  return pairs.size ? `?${pairs}` : ''
}

export async function login (username, password) {
  const answer = await post('/login', { username, password })
  token = answer.token
  Object.assign(session, { username: answer.username, role: answer.role, version: answer.version })
  sessionStorage.setItem('token', token)
  sessionStorage.setItem('session', JSON.stringify(session))
}

export async function logout () {
  await post('/logout').catch(() => {})
  forget()
}

// Server-sent events, by fetch: EventSource cannot send the token. Ends with the signal or the connection.
export async function stream (path, signal, take) {
  const answer = await send('GET', path, undefined, signal)
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  for (;;) {
    const { value, done } = await reader.read()
    if (done) return
    rest += value
    for (let end; (end = rest.indexOf('\n\n')) >= 0; rest = rest.slice(end + 2)) {
      const data = rest.slice(0, end).split('\n').filter((line) => line.startsWith('data:')).map((line) => line.slice(5).trimStart()).join('\n')
      if (data) take(JSON.parse(data))
    }
  }
}

// What a path answers, as a file of this name in the browser's downloads.
export async function download (path, name) {
  const answer = await send('GET', path)
  save(await answer.blob(), name)
}

export function save (blob, name) {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(blob)
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 60000)
}

export async function openapi () {
  const answer = await fetch('/api/openapi.json', { headers: { Authorization: `Bearer ${token}` }, credentials: 'omit' })
  if (!answer.ok) throw new ApiError(answer.status, 'ERROR', `The description of the API cannot be had (HTTP ${answer.status}).`)
  return await answer.json()
}
