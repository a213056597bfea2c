// Measures a folder and lists the images that should be taken again.
folder = getArgument();
if (folder == "") {
    folder = getDirectory("Choose a folder of images");
}
table = "Focus of Folder";
first = 0;
if (isOpen(table)) {
    first = Table.size(table);
}
run("Measure Folder...", "folder=[" + folder + "] in_focus_limit=2");
for (row = first; row < Table.size(table); row++) {
    status = Table.getString("status", row, table);
    if (status == "") {
        status = Table.getString("error", row, table);
    }
    if (status != "in_focus") {
        print(Table.getString("file", row, table) + ": " + status);
    }
}
