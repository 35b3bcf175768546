// metrics.js - every counter with its rate, and the histograms.
import { h, fill, refill } from './dom.js'
import { short, seconds } from './format.js'
import { field } from './form.js'
import { sorted, table } from './table.js'
import { history, changes } from './live.js'

function bars (histogram) {
  const most = Math.max(...histogram.counts)
  const show = histogram.unit === 'seconds' ? seconds : short
  const last = histogram.counts.findLastIndex((count) => count > 0)
  const list = h('ol', { class: 'bars' }, histogram.counts.slice(0, last + 1).map((count, i) => {
    const bar = h('span', { class: 'bar' })
    bar.style.width = `${most ? 100 * count / most : 0}%`
    return h('li', null, h('span', null, i < histogram.bounds.length ? `≤ ${show(histogram.bounds[i])}` : `> ${show(histogram.bounds.at(-1))}`), bar, h('span', null, short(count)))
  }))
  return h('details', { 'aria-label': histogram.name }, h('summary', null, h('b', null, histogram.name), ` p50 ${show(histogram.p50)}, p99 ${show(histogram.p99)}, ${short(histogram.count)} values`), list)
}

export async function metrics (root, context) {
  const search = h('input', { type: 'search', placeholder: 'part of the name', 'aria-label': 'Name', oninput: () => show() })
  const used = h('input', { type: 'checkbox', onchange: () => show() })
  const counters = h('section'); const histograms = h('section')
  fill(root, h('h1', null, 'Metrics'), h('p', null, 'The same for Prometheus: ', h('a', { href: '/metrics' }, '/metrics'), '. The API: ', h('a', { href: '/api/docs' }, '/api/docs'), '.'),
    h('h2', null, 'Distributions'), histograms, h('h2', null, 'Counters'), h('form', { class: 'filters', role: 'search', onsubmit: (event) => event.preventDefault() }, field('Name', search), field('Only those that are not 0', used)), counters)
  const order = { by: undefined, order: 'desc', change: (by, way) => { Object.assign(order, { by, order: way }); show() } }
  function show () {
    const last = history.at(-1)
    if (!last) return
    const rows = Object.entries(last.stats.counters).filter(([name, value]) => name.includes(search.value) && (!used.checked || value))
      .map(([name, value]) => ({ name, value, rate: last.rates[name] }))
    const columns = [{ name: 'name', label: 'Name', class: 'text', sort: true }, { name: 'value', label: 'Value', number: true, sort: true, cell: (row) => row.value.toLocaleString() },
      { name: 'rate', label: 'Change per second', number: true, sort: true, cell: (row) => short(row.rate) },
      ...last.stats.shards.map((shard) => ({ label: `Shard ${shard.shard}`, number: true, cell: (row) => short(shard.counters[row.name]) }))]
    refill(counters, table('Counters', columns, sorted(rows, columns, order), { sorting: order, key: (row) => row.name, empty: 'No counter fits.' }))
    refill(histograms, last.stats.histograms.filter((one) => one.count).map(bars))
  }
  changes.addEventListener('sample', show)
  context.onEnd(() => changes.removeEventListener('sample', show))
  show()
}
