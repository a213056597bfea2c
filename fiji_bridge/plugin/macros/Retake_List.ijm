// Rates a folder of electron micrographs and lists those to take again, with what to do first.
folder = getArgument();
if (folder == "") {
    folder = getDirectory("Choose a folder of images");
}
table = "Rating of Folder";
first = 0;
if (isOpen(table)) {
    first = Table.size(table);
}
run("Rate Folder...", "folder=[" + folder + "] score_limit=0.7");
for (row = first; row < Table.size(table); row++) {
    if (Table.getString("status", row, table) == "poor") {
        score = d2s(Table.get("score", row, table), 2);
        cause = Table.getString("cause", row, table);
        action = Table.getString("action", row, table);
        print(Table.getString("file", row, table) + ": " + score + ", " + cause + ", " + action);
    }
}
