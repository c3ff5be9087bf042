// The inputs of a node are read, written and followed.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { follow, valueOf, write } from '../../../js/lib/inputs.mjs'

/** A node as the frontend makes it, with what happens to it.
 * @returns {{node: any, happened: unknown[]}} */
function make() {
  /** @type {unknown[]} */
  const happened = []
  const weight = { name: 'weight', value: 1, callback: (/** @type {unknown} */ value) => happened.push(['core', value]) }
  const graph = { setDirtyCanvas: () => happened.push('drawn') }
  const node = { widgets: [weight, { name: 'layers', value: 'all' }], graph, onConfigure: () => happened.push('configured') }
  return { node, happened }
}

test('a value is read by the name of its input', () => {
  const { node } = make()
  assert.deepEqual([valueOf(node, 'layers'), valueOf(node, 'nothing'), valueOf({}, 'layers')], ['all', undefined, undefined])
})

test('who follows an input is told what is written, after the frontend', () => {
  const { node, happened } = make()
  follow(node, ['weight', 'nothing'], () => happened.push('followed'))
  write(node, 'weight', 0.5)
  assert.deepEqual([valueOf(node, 'weight'), happened], [0.5, [['core', 0.5], 'followed', 'drawn']])
})

test('the same value, or one for an input that is not there, changes nothing', () => {
  const { node, happened } = make()
  follow(node, ['weight'], () => happened.push('followed'))
  write(node, 'weight', 1)
  write(node, 'nothing', 1)
  assert.deepEqual(happened, [])
})

test('who follows is told when the node is loaded', () => {
  const { node, happened } = make()
  follow(node, ['weight'], () => happened.push('followed'))
  node.onConfigure({})
  assert.deepEqual(happened, ['configured', 'followed'])
})
