// Duplicates the sharpest slice of the z-stack in front, when it is in focus.
run("Find Best Focus Plane...", "in_focus_limit=2");
table = "Focus of Stacks";
if (Table.getString("status", Table.size(table) - 1, table) != "in_focus") {
    exit("The best plane of " + getTitle() + " is not in focus.");
}
run("Duplicate...", "title=[Best focus of " + getTitle() + "]");
