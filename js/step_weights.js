// @ts-check
// A curve on the node Image Prompt Step Weights, which shows and edits the weight over the steps.
import { app } from '../../scripts/app.js'
import { addCurve } from './step_weights/view.mjs'

app.registerExtension({
  name: 'image-prompt.step_weights',

  nodeCreated(created) {
    const node = /** @type {import('../devtools/types/comfy').Node} */ (created)
    if (node.comfyClass === 'ImagePromptStepWeights') addCurve(node)
  }
})
