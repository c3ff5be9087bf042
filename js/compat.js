// Opens files with the older IPAdapterEncoder, if ComfyUI has this pack's nodes of IPAdapter_plus.
import { app } from '../../scripts/app.js'
import { OLDER, renameInGraph, renameInPrompt } from './compat.mjs'

const isRegistered = () => OLDER in (window.LiteGraph?.registered_node_types ?? {})

app.registerExtension({
  name: 'image-prompt.compat',

  beforeConfigureGraph(graph) {
    if (isRegistered()) renameInGraph(graph)
  },

  // There is no hook for files in the format of prompts.
  setup() {
    const load = app.loadApiJson
    app.loadApiJson = function (prompt, ...rest) {
      if (isRegistered()) renameInPrompt(prompt)
      return load.call(this, prompt, ...rest)
    }
  }
})
