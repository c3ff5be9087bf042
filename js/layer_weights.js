// @ts-check
// Bars on the node Image Prompt Layer Weights, which show and edit the weight of each block.
import { app } from '../../scripts/app.js'
import { addBars } from './layer_weights/view.mjs'

app.registerExtension({
  name: 'image-prompt.layer_weights',

  nodeCreated(created) {
    const node = /** @type {import('../devtools/types/comfy').Node} */ (created)
    if (node.comfyClass === 'ImagePromptLayerWeights') addBars(node)
  }
})
