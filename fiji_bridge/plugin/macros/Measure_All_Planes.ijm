// Measures all planes of the image in front, and tells which has the lowest level.
table = "Focus of Planes";
first = 0;
if (isOpen(table)) {
    first = Table.size(table);
}
run("Measure Focus...", "planes=all overlay legend");
best = -1;
lowest = 1e9;
for (row = first; row < Table.size(table); row++) {
    // The numbers of a plane without content mean nothing.
    if (Table.getString("status", row, table) != "no_content") {
        level = Table.get("expected_level", row, table);
        if (level < lowest) {
            lowest = level;
            best = row;
        }
    }
}
if (best < 0) {
    showStatus("No plane has content.");
} else {
    showStatus("Lowest: plane " + (best - first + 1) + ", expected level " + d2s(lowest, 1));
}
