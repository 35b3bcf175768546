// more.js - what the API has and no page of its own: lists, forms and buttons made from the OpenAPI document, so that new routes are here at once.
import { h, fill, badge } from './dom.js'
import { act, confirm, dialog } from './dialog.js'
import { field, select } from './form.js'
import { table, pager } from './table.js'
import { get, post, put, remove, query, openapi, may, segment } from './api.js'

const OWN = /^\/(login|logout|whoami|status|nodes|stats|metrics|clients|sessions|subscriptions|topics|retained|publish|listeners|configs|alarms|users|api_keys|audit|banned|authentication|authorization|features|mqtt|slow_subscriptions|trace|why|drops|delayed)(\/|$)/
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

function control (schema, value, name) {
  if (name === 'password') return h('input', { type: 'password', autocomplete: 'new-password' })
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
  const path = route.path.replace(/\{(\w+)\}/g, (_, name) => segment(values[name]))
  if (route.method === 'delete') {
    if (!await confirm(`${route.operation.summary} (${path})`, 'Do it')) return false
    await remove(path)
    return true
  }
  let wanted
  if (body) {
    const controls = Object.entries(body.properties ?? {}).map(([name, schema]) => [name, resolve(document, schema), control(resolve(document, schema), undefined, name)])
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
  const lists = routes.filter((route) => route.method === 'get' && may(route.operation['x-role']) && resolve(document, route.operation.responses['200']?.content?.['application/json']?.schema)?.properties?.data)
  const top = lists.find((route) => !route.path.includes('{'))
  const others = routes.filter((route) => ['post', 'put', 'delete'].includes(route.method) && may(route.operation['x-role']))
  const ofAll = others.filter((route) => !route.path.includes('{')); const ofOne = others.filter((route) => route.path.includes('{'))
  const named = (route) => [...route.path.matchAll(/\{(\w+)\}/g)].map(([, one]) => one)
  // inside: a list that belongs to one row of the list above it, such as the users of a database, and that row.
  const view = { page: 1, limit: 100, inside: undefined, of: {} }
  const go = (inside, of) => act(async () => { Object.assign(view, { page: 1, inside, of }); await load() })
  const button = (route, values) => h('button', { type: 'button', title: route.operation.summary, onclick: act(async () => { if (await run(document, route, values)) await load() }) }, route.operation.operationId.replaceAll('_', ' '))
  async function load () {
    const list = view.inside ?? top
    const paged = list?.operation.parameters?.some((one) => one.name === 'page')
    const path = list?.path.replace(/\{(\w+)\}/g, (_, one) => segment(view.of[one]))
    let answer; let missing // what is switched off answers 404 and says how to switch it on
    try {
      answer = list && await get(`${path}${paged ? query({ page: view.page, limit: view.limit }) : ''}`, context.signal)
    } catch (error) {
      if (error.status !== 404) throw error
      missing = error.message
    }
    const rows = Array.isArray(answer?.data) ? answer.data : []
    const names = [...new Set(rows.flatMap((row) => Object.keys(row)))]
    // The names in {…} that a row has; a route whose names are not all there cannot be called from it.
    const known = [...names, ...Object.keys(view.of)]
    const fits = (route) => named(route).every((one) => known.includes(one)) && (!view.inside || named(route).some((one) => names.includes(one)))
    const usable = ofOne.filter(fits); const deeper = view.inside ? [] : lists.filter((route) => named(route).length && fits(route))
    const here = view.inside ? ofOne.filter((route) => route.path === view.inside.path) : ofAll
    fill(place, list && h('p', null, list.operation.summary),
      h('div', { class: 'buttons' }, view.inside && h('button', { type: 'button', onclick: go(undefined, {}) }, `← ${name.replaceAll('_', ' ')}`), here.map((route) => button(route, view.of))),
      missing ? h('p', { class: 'empty' }, missing) : list && table(name, [...names.map((one) => ({ name: one, label: one, class: 'text', cell: (row) => shown(row[one]) })), (usable.length || deeper.length) && { label: '', cell: (row) => h('div', { class: 'buttons' },
        deeper.map((route) => h('button', { type: 'button', title: route.operation.summary, onclick: go(route, row) }, route.operation.operationId.replaceAll('_', ' '))),
        usable.map((route) => button(route, { ...view.of, ...row }))) }].filter(Boolean), rows),
      answer?.meta && pager(answer.meta, (next) => act(async () => { Object.assign(view, next); await load() })()))
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
