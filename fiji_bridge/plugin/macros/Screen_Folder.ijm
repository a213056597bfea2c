// Measures a folder and lists the images that should be taken again.
folder = getArgument();
if (folder == "") {
    folder = getDirectory("Choose a folder of images");
}
first = nResults;
run("Measure Folder...", "folder=[" + folder + "] in_focus_limit=2");
for (row = first; row < nResults; row++) {
    status = getResultString("status", row);
    if (status != "in_focus") {
        print(getResultString("file", row) + ": " + status);
    }
}
