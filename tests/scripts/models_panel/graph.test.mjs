// What of the graph is told to the server.
import assert from 'node:assert/strict'
import test from 'node:test'

import { describe } from '../../../js/models_panel/graph.mjs'

function node(id, type, { before = [], mode = 0, ...more } = {}) {
  return { id, type, mode, inputs: before.map(() => ({})), getInputNode: (slot) => before[slot], ...more }
}

const combo = (name, value) => ({ type: 'combo', name, value })

test('choices and links are told, and texts that were written are not', () => {
  const loader = node(1, 'CheckpointLoaderSimple', { widgets: [combo('ckpt_name', 'a.safetensors')] })
  const text = node(2, 'CLIPTextEncode', { widgets: [{ type: 'customtext', name: 'text', value: 'a secret' }] })
  const models = node(3, 'ImagePromptLoadModels', { before: [loader, null], widgets: [combo('purpose', 'auto')] })
  assert.deepEqual(describe({ nodes: [loader, text, models] }).nodes, [
    { id: '1', type: 'CheckpointLoaderSimple', values: { ckpt_name: 'a.safetensors' }, before: [] },
    { id: '2', type: 'CLIPTextEncode', values: {}, before: [] },
    { id: '3', type: 'ImagePromptLoadModels', values: { purpose: 'auto' }, before: ['1'] }
  ])
})

test('a muted or bypassed node needs no file, and its links are still followed', () => {
  const loader = node(1, 'CheckpointLoaderSimple')
  const properties = { models: [{ name: 'a', directory: 'b', url: 'c' }] }
  for (const mode of [2, 4]) {
    const quiet = node(2, 'Lora', { before: [loader], widgets: [combo('lora_name', 'a')], properties, mode })
    const { nodes, models } = describe({ nodes: [loader, quiet] })
    assert.deepEqual(nodes[1], { id: '2', type: '', values: {}, before: ['1'] })
    assert.deepEqual(models, [])
  }
})

test('nodes in subgraphs are told, each by the way to it', () => {
  const inner = node(1, 'CheckpointLoaderSimple')
  const { nodes } = describe({ nodes: [node(7, 'a-uuid', { subgraph: { nodes: [inner] } })] })
  assert.deepEqual(nodes.map(({ id, before }) => [id, before]), [['7:1', []], ['7', ['7:1']]])
})

test('files that a workflow tells of are told if they are texts', () => {
  const good = { name: 'a.safetensors', directory: 'ipadapter', url: 'https://a' }
  const models = [good, null, { name: 1 }, { ...good, url: 'x'.repeat(501) }]
  const nodes = [node(1, 'A', { properties: { models } }), node(2, 'B', { properties: { models: 'x' } })]
  assert.deepEqual(describe({ nodes }).models, [good])
})
