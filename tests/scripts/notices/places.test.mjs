// Which node is meant, and what lies before it, on graphs of plain objects.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { chainOf, everyNode, inputFor, isMissing, keyOf, nodeOf, stateOf } from '../../../js/notices/places.mjs'

function node(graph, id, { before = [], ...more } = {}) {
  const made = {
    id,
    graph,
    inputs: before.map(() => ({})),
    getInputNode: (place) => before[place] ?? null,
    getInputLink: (place) => (before[place] ? { origin_id: before[place].id, origin_slot: 0 } : null),
    ...more
  }
  graph.nodes.push(made)
  return made
}

const graph = (more) => {
  const nodes = []
  return { nodes, getNodeById: (id) => nodes.find((each) => String(each.id) === String(id)) ?? null, ...more }
}

const combo = (name, value, ...values) => ({ name, value, options: { values } })

function chain() {
  const outer = graph({ isRootGraph: true })
  const loader = node(outer, 1, { type: 'loader', widgets: [combo('adapter_name', 'bad', 'bad', 'good')] })
  const apply = node(outer, 2, { type: 'apply', before: [null, loader], widgets: [{ name: 'weight', value: 1 }] })
  return { outer, loader, apply }
}

test('a node is found by the id under which it runs', () => {
  const outer = graph({ isRootGraph: true })
  const inner = graph({ isRootGraph: false, id: 'inner' })
  const inside = node(inner, 7)
  const around = node(outer, 12, { subgraph: inner })
  assert.equal(nodeOf(outer, 12), around)
  assert.equal(nodeOf(outer, '12:7'), inside)
  assert.equal(nodeOf(outer, '12.0.0.1'), around)
  assert.equal(nodeOf(outer, '13:7'), undefined)
  assert.deepEqual([keyOf(around), keyOf(inside)], ['12', 'inner:7'])
  assert.deepEqual(everyNode(outer), [
    ['12', around],
    ['12:7', inside]
  ])
})

test('the file that fits is set where it is listed and not chosen yet', () => {
  const { loader, apply } = chain()
  assert.deepEqual(chainOf(apply), [apply, loader])
  const remedy = { do: 'use', file: 'good', inputs: ['adapter_name'], link: '' }
  assert.deepEqual(inputFor(apply, remedy), { node: loader, name: 'adapter_name' })
  assert.equal(inputFor(apply, { ...remedy, file: 'gone' }), undefined)
  assert.equal(inputFor(apply, { ...remedy, inputs: ['encoder_name'] }), undefined)
  loader.widgets[0].value = 'good'
  assert.equal(inputFor(apply, remedy), undefined)
})

test('a change before the node is seen, one of a seed or of a view is not', () => {
  const { loader, apply } = chain()
  loader.widgets.push({ name: 'seed', value: 1, linkedWidgets: [{}] }, { name: 'view', value: '', serialize: false })
  const before = stateOf(apply)
  for (const widget of loader.widgets.slice(1)) widget.value = 2
  assert.equal(stateOf(apply), before)
  loader.widgets[0].value = 'good'
  assert.notEqual(stateOf(apply), before)
})

test('a model file is missed where its list lacks it', () => {
  assert.equal(isMissing(combo('adapter_name', 'gone.bin', 'good.bin')), true)
  assert.equal(isMissing(combo('adapter_name', 'good.bin', 'good.bin')), false)
  assert.equal(isMissing(combo('purpose', 'plus', 'auto')), false)
  assert.equal(isMissing({ name: 'text', value: 'a.bin', options: {} }), false)
  assert.equal(isMissing(undefined), false)
})
