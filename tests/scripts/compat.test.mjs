// What files with the older IPAdapterEncoder become.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { OLDER, renameInGraph } from '../../js/compat.mjs'

const ID = 'IPAdapterEncoder'
const older = () => ({ type: ID, inputs: [{ name: 'clip_vision' }, { name: 'image_1' }] })
const types = (/** @type {any} */ graph) => graph.nodes.map((/** @type {any} */ node) => node.type)

test('only the node with the older input gets the other id', () => {
  const graph = { nodes: [older(), { type: ID, inputs: [{ name: 'image' }] }, { ...older(), type: 'Another' }] }
  renameInGraph(graph)
  assert.deepEqual(types(graph), [OLDER, ID, 'Another'])
})

test('subgraphs are searched too', () => {
  const inner = { nodes: [older()] }
  const outer = { nodes: [], definitions: { subgraphs: [inner] } }
  renameInGraph({ nodes: [], definitions: { subgraphs: [outer] } })
  assert.deepEqual(types(inner), [OLDER])
})

for (const graph of [null, {}, { nodes: [null, {}, { type: ID }, { type: ID, inputs: [null] }] }])
  test(`a file that is not as expected stays: ${JSON.stringify(graph)}`, () => {
    const before = structuredClone(graph)
    renameInGraph(graph)
    assert.deepEqual(graph, before)
  })
