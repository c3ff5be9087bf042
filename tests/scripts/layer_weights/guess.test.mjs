// The base model that is guessed by the file of the loader before a node, or before the nodes that use what it gives.
import assert from 'node:assert/strict'
import { test } from 'node:test'

import { baseOfFile, guess } from '../../../js/layer_weights/guess.mjs'

const FILES = {
  'v1-5-pruned-emaonly.safetensors': 'SD1.5',
  'sd_xl_base_1.0.safetensors': 'SDXL',
  'animagine-xl-4.0.safetensors': 'SDXL',
  'kolors_unet_fp16.safetensors': 'Kolors',
  'flux/flux1-dev-Q8_0.gguf': 'Flux',
  'chroma-unlocked-v40.safetensors': 'Chroma',
  'sd3.5_large_fp8.safetensors': 'SD3.5 Large',
  'anima-preview.safetensors': 'Anima',
  'wan2.1_t2v.safetensors': undefined,
  'animatediff_v3.safetensors': undefined
}

for (const [file, base] of Object.entries(FILES)) test(file, () => assert.equal(baseOfFile(file), base))

function node({ file, model, next }) {
  return {
    widgets: file ? [{ value: file }] : [],
    inputs: model ? [{ name: 'model', type: 'MODEL' }] : [],
    outputs: [{}],
    getInputNode: () => model,
    getOutputNodes: () => next ?? null
  }
}

const loader = node({ file: 'sd_xl_base_1.0.safetensors' })

test('the loader is found through other nodes with a model', () => {
  assert.equal(guess(node({ model: node({ file: 'detail_flux_lora.safetensors', model: loader }) })), 'SDXL')
})

test('without a model of its own, the loader before a node after it is found', () => {
  assert.equal(guess(node({ next: [node({ next: [node({ model: loader })] })] })), 'SDXL')
  assert.equal(guess(node({})), undefined)
})
