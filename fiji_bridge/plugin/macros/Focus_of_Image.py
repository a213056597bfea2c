# For Fiji's script editor, in Jython: the focus of the image in front and of two points in it.
from ij import IJ
from quality.microscope.focus import FocusSettings, MicroscopeFocus

image = IJ.getImage()
result = MicroscopeFocus.measure(image)
line = "{}: level {:.1f}, certainty {:.2f}, {}"
print(line.format(image.getTitle(), result.expectedLevel, result.certainty, result.status))

points = [[100, 120], [200, 60]]
found = MicroscopeFocus.measureAt(image.getProcessor(), points, FocusSettings.standard())
print(list(found.expectedLevels))
