// Measures all planes of the image in front, and tells which has the lowest level.
first = nResults;
run("Measure Focus...", "planes=all overlay legend");
best = -1;
lowest = 1e9;
for (row = first; row < nResults; row++) {
    // The numbers of a plane without content mean nothing.
    if (getResultString("status", row) != "no_content") {
        level = getResult("expected_level", row);
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
