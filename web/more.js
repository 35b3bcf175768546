// more.js - what the API has and no page of its own: lists, forms and buttons made from the OpenAPI document, so that new routes are here at once.
import { h, fill, table, pager, field, select, act, confirm, dialog, badge } from './dom.js'
import { get, post, put, remove, query, openapi, may } from './api.js'

const OWN = /^\/(login|logout|whoami|status|nodes|stats|metrics|clients|sessions|subscriptions|topics|retained|publish|listeners|configs|alarms|users|api_keys|audit)(\/|$)/
const PREFIX = '/api/v1'
const CALLS = { post, put }

function resolve (document, schema) {
  while (schema?.$ref) schema = schema.$ref.slice(2).split('/').reduce((at, name) => at?.[name], document)
  return schema
}

// Paths below /api/v1 by their first word: { bans: { list, create, entry } … }.
function groups (document) {
  const found = {}
  for (const [full, operations] of Object.entries(document.paths)) {
    const path = full.replace(PREFIX, '')
    if (OWN.test(path)) continue
    const name = path.split('/')[1]
    const group = found[name] ??= { name, routes: [] }
    for (const [method, operation] of Object.entries(operations)) if (operation.operationId) group.routes.push({ method, path, operation })
  }
  return Object.values(found)
}

const shown = (value) => value === null || value === undefined ? '–' : typeof value === 'object' ? JSON.stringify(value) : typeof value === 'boolean' ? badge(value ? 'yes' : 'no') : String(value)

function control (schema, value) {
  if (schema?.enum) return select([...schema.enum.filter((one) => one !== null).map((one) => [one, one])], { value })
  if (schema?.type === 'boolean') return select([['', '–'], ['true', 'yes'], ['false', 'no']])
  return h('input', { value: value ?? '', placeholder: schema?.default !== undefined ? String(schema.default) : '' })
}

function typed (schema, text) {
  const type = Array.isArray(schema?.type) ? schema.type.find((one) => one !== 'null') : schema?.type
  if (type === 'integer' || type === 'number') return Number(text)
  if (type === 'boolean') return text === 'true'
  if (type === 'object' || type === 'array') return JSON.parse(text)
  return text
}

async function run (document, route, values) {
  const body = resolve(document, route.operation.requestBody?.content?.['application/json']?.schema)
  const path = route.path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(values[name]))
  if (route.method === 'delete') {
    if (!await confirm(`${route.operation.summary} (${path})`, 'Do it')) return false
    await remove(path)
    return true
  }
  let wanted
  if (body) {
    const controls = Object.entries(body.properties ?? {}).map(([name, schema]) => [name, resolve(document, schema), control(resolve(document, schema), undefined)])
    wanted = await dialog(route.operation.summary, (close) => h('form', { method: 'dialog', onsubmit: (event) => {
      event.preventDefault()
      try {
        close(Object.fromEntries(controls.filter(([, , one]) => one.value !== '').map(([name, schema, one]) => [name, typed(schema, one.value)])))
      } catch (error) { close({ problem: error }) }
    } }, controls.map(([name, schema, one]) => field(`${name}${body.required?.includes(name) ? ' *' : ''}`, one, schema?.description)),
    h('div', { class: 'buttons' }, h('button', { type: 'button', onclick: () => close() }, 'Cancel'), h('button', { class: 'primary' }, 'Send'))))
    if (!wanted) return false
    if (wanted.problem) throw wanted.problem
  }
  const answer = await CALLS[route.method](path, wanted)
  if (answer && Object.keys(answer).length) await dialog('Answer', () => h('pre', { class: 'payload', tabindex: '0' }, JSON.stringify(answer, null, 2)))
  return true
}

async function group (root, context, document, { name, routes }) {
  const place = h('section')
  fill(root, h('p', null, h('a', { href: '#/more' }, '← More')), h('h1', null, name.replaceAll('_', ' ')), place)
  const list = routes.find((route) => route.method === 'get' && !route.path.includes('{') && resolve(document, route.operation.responses['200']?.content?.['application/json']?.schema)?.properties?.data)
  const others = routes.filter((route) => route !== list && ['post', 'put', 'delete'].includes(route.method))
  const ofAll = others.filter((route) => !route.path.includes('{') && may('operator')); const ofOne = others.filter((route) => route.path.includes('{') && may('operator'))
  const view = { page: 1, limit: 100 }
  const button = (route, values) => h('button', { type: 'button', title: route.operation.summary, onclick: act(async () => { if (await run(document, route, values)) await load() }) }, route.operation.operationId.replaceAll('_', ' '))
  async function load () {
    const paged = list?.operation.parameters?.some((one) => one.name === 'page')
    const answer = list && await get(`${list.path}${paged ? query(view) : ''}`, context.signal)
    const rows = Array.isArray(answer?.data) ? answer.data : []
    const names = [...new Set(rows.flatMap((row) => Object.keys(row)))]
    // The names in {…} that a row has; a route whose names are not all there cannot be called from it.
    const usable = ofOne.filter((route) => [...route.path.matchAll(/\{(\w+)\}/g)].every(([, one]) => names.includes(one)))
    fill(place, list && h('p', null, list.operation.summary), h('div', { class: 'buttons' }, ofAll.map((route) => button(route, {}))),
      list && table(name, [...names.map((one) => ({ name: one, label: one, class: 'text', cell: (row) => shown(row[one]) })), usable.length && { label: '', cell: (row) => h('div', { class: 'buttons' }, usable.map((route) => button(route, row))) }].filter(Boolean), rows),
      answer?.meta && pager(answer.meta, (page) => { view.page = page; act(load)() }))
  }
  await load()
}

export async function more (root, context) {
  const document = await openapi()
  const all = groups(document)
  const one = all.find((one) => one.name === context.rest)
  if (one) return await group(root, context, document, one)
  fill(root, h('h1', null, 'More'), h('p', null, 'What else the API of this broker has. All of it, with examples: ', h('a', { href: '/api/docs' }, '/api/docs'), '.'),
    all.length
      ? h('ul', { class: 'tiles' }, all.map((one) => h('li', null, h('a', { href: `#/more/${one.name}` }, one.name.replaceAll('_', ' ')), h('small', null, one.routes.map((route) => route.operation.summary).join(' ')))))
      : h('p', { class: 'empty' }, 'Nothing that has no page of its own.'))
}
