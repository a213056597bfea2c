// Duplicates the slice in focus of the z-stack in front.
run("Find Best Focus Plane", "in_focus_limit=2");
slice = getResult("best_z", nResults - 1);
if (isNaN(slice)) {
    exit("No plane of " + getTitle() + " is in focus.");
}
run("Duplicate...", "title=[Best focus of " + getTitle() + "]");
