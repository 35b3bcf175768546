// extras.js - what the broker's extras have seen: slow subscribers, counted topics.
import { button, clientLink, h } from './dom.js'
import { short, seconds, time } from './format.js'
import { act, confirm } from './dialog.js'
import { listing } from './listing.js'
import { ask } from './form.js'
import { post, put, remove, may, segment } from './api.js'

export const slowSubscribers = (root, context) => listing(root, context, {
  title: 'Slow subscribers',
  path: '/slow_subscriptions',
  paged: false,
  off: 'slow_subs.',
  about: 'Subscribers that keep their messages waiting longest, the slowest first.',
  every: 5000,
  key: (row) => `${row.clientid} ${row.topic}`,
  empty: 'Nobody is slow.',
  actions: ({ load }) => may('operator') && button('Forget them', act(async () => {
    if (!await confirm('Forget the slow subscribers noted so far?', 'Forget')) return
    await remove('/slow_subscriptions')
    await load()
  })),
  columns: () => [{ label: 'Client', class: 'text', cell: (row) => clientLink(row.clientid) }, { label: 'Topic of the message', class: 'text', cell: (row) => row.topic },
    { label: 'Waited', number: true, cell: (row) => seconds(row.timespan / 1000) }, { label: 'When', cell: (row) => time(row.last_update_time) }]
})

export const topicMetrics = (root, context) => listing(root, context, {
  title: 'Topic metrics',
  path: '/mqtt/topic_metrics',
  paged: false,
  off: 'topic_metrics.',
  about: ['Messages counted by topic, for those that ', h('a', { href: '#/configuration?like_key=topic_metrics.' }, 'topic_metrics.topics'), ' names.'],
  every: 2000,
  key: (row) => row.topic,
  empty: 'No topic is registered.',
  actions: ({ load }) => may('operator') && [
    button('Register a topic', act(async () => {
      const topic = h('input', { required: true, autocomplete: 'off', spellcheck: 'false', placeholder: 'plant/+/state' })
      if (await ask('Register a topic', [['topic', 'Topic or filter', topic]], 'Register', (body) => post('/mqtt/topic_metrics', body))) await load()
    }), { kind: 'primary' }),
    button('Begin again', act(async () => {
      if (!await confirm('Let the counts of all registered topics begin at 0?', 'Begin again')) return
      await put('/mqtt/topic_metrics', { action: 'reset' })
      await load()
    }))],
  columns: ({ load }) => [{ name: 'topic', label: 'Topic', class: 'text' }, { label: 'In/s', number: true, cell: (row) => short(row.in_rate) }, { label: 'Out/s', number: true, cell: (row) => short(row.out_rate) }, { label: 'Dropped/s', number: true, cell: (row) => short(row.dropped_rate) },
    { label: 'Counted', cell: (row) => h('ul', { class: 'chips' }, Object.entries(row.metrics).filter(([, count]) => count > 0).map(([name, count]) => h('li', null, `${name} `, h('b', null, short(count))))) },
    may('operator') && { label: '', cell: (row) => button('Remove', act(async () => {
      if (!await confirm(`Count ${row.topic} no longer? Its counts are gone.`, 'Remove it')) return
      await remove(`/mqtt/topic_metrics/${segment(row.topic)}`)
      await load()
    }), { name: `Remove ${row.topic}` }) }]
})
