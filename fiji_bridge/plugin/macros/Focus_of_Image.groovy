// For Fiji's script editor: the focus of the image in front, patch by patch.
#@ ImagePlus image

import quality.microscope.focus.FocusSettings
import quality.microscope.focus.MicroscopeFocus

def result = MicroscopeFocus.measure(image)
println "${image.title}: level ${result.expectedLevel}, certainty ${result.certainty}, ${result.status}"
result.patchPositions.eachWithIndex { place, i ->
    println "y ${place[0]}, x ${place[1]}: level ${result.patchLevels[i]}"
}

// With the optics, there is a distance from focus in µm.
def settings = FocusSettings.standard().optics(0.5, 1.0, 0.52, 0.65)
println "${MicroscopeFocus.measure(image.processor, settings).defocusUm} µm"
