package quality.microscope.focus;

import ij.IJ;
import ij.ImageJ;
import ij.ImagePlus;
import ij.Prefs;
import ij.WindowManager;
import ij.gui.GenericDialog;
import ij.gui.PointRoi;
import ij.gui.Roi;
import ij.macro.Interpreter;
import ij.measure.ResultsTable;
import ij.plugin.frame.Recorder;
import ij.plugin.frame.RoiManager;
import ij.text.TextWindow;
import java.awt.Button;
import java.awt.Checkbox;
import java.awt.Choice;
import java.awt.EventQueue;
import java.awt.Frame;
import java.awt.Rectangle;
import java.awt.Robot;
import java.awt.TextField;
import java.awt.Window;
import java.awt.event.ActionEvent;
import java.awt.event.ItemEvent;
import java.awt.event.KeyEvent;
import java.awt.image.BufferedImage;
import java.io.File;
import java.util.ArrayList;
import java.util.List;
import java.util.function.BooleanSupplier;
import javax.imageio.ImageIO;

/**
 * Uses the plugin as a person does: in ImageJ's window, by menu entries and dialogs. Ends with 1 and
 * a sentence when anything is not as it should be, else writes pictures of the screen.
 *
 * <p>{@code screenshots.sh} runs it. Arguments: the folders of samples, of pictures, of macros.
 */
public final class WindowCheck {
    private final File samples;
    private final File pictures;
    private final File macros;
    private final Robot robot;

    private WindowCheck(File samples, File pictures, File macros) throws Exception {
        this.samples = samples;
        this.pictures = pictures;
        this.macros = macros;
        robot = new Robot();
    }

    public static void main(String[] arguments) throws Exception {
        Prefs.set("options.usesystem", false);
        new ImageJ();
        IJ.getInstance().setLocation(20, 10);
        WindowCheck check = new WindowCheck(
                new File(arguments[0]), new File(arguments[1]), new File(arguments[2]));
        try {
            check.all();
            System.out.println("All as it should be.");
            System.exit(0);
        } catch (Throwable error) {
            check.picture("failed");
            error.printStackTrace();
            System.exit(1);
        }
    }

    private void all() throws Exception {
        menus();
        cancelledPreview();
        recordedLine();
        stack();
        regions();
        folder();
        errors();
        escape();
        examples();
    }

    private static void require(boolean right, String sentence) {
        if (!right) {
            throw new AssertionError(sentence);
        }
    }

    private static void await(String sentence, BooleanSupplier condition) {
        for (int i = 0; i < 600 && !condition.getAsBoolean(); i++) {
            IJ.wait(50);
        }
        require(condition.getAsBoolean(), sentence);
    }

    private static void menus() {
        for (String command : new String[] {
            "Measure Focus...", "Find Best Focus Plane", "Focus of ROIs", "Measure Folder..."}) {
            require(
                    ij.Menus.getCommands().containsKey(command),
                    "The menus have no entry '" + command + "'.");
        }
    }

    private ImagePlus open(String name, int x, int y, double zoom) throws Exception {
        ImagePlus image = IJ.openImage(new File(samples, name).getPath());
        image.show();
        image.getWindow().setLocation(x, y);
        if (zoom != 1) {
            IJ.run(image, "Set... ", "zoom=" + Math.round(100 * zoom));
        }
        settle();
        return image;
    }

    /** Starts a command from its menu entry and gives its dialog. */
    private static GenericDialog dialog(String command) {
        IJ.doCommand(command);
        GenericDialog[] found = new GenericDialog[1];
        await("No dialog of " + command + " came.", () -> {
            for (Window window : Window.getWindows()) {
                if (window instanceof GenericDialog && window.isVisible()
                        && window.getClass() == GenericDialog.class) {
                    found[0] = (GenericDialog) window;
                }
            }
            return found[0] != null;
        });
        settle();
        return found[0];
    }

    private static void press(GenericDialog dialog, int button) {
        Button pressed = dialog.getButtons()[button];
        EventQueue.invokeLater(() -> dialog.actionPerformed(
                new ActionEvent(pressed, ActionEvent.ACTION_PERFORMED, pressed.getLabel())));
        await("The dialog stays open.", () -> !dialog.isVisible());
        settle();
    }

    private static void check(GenericDialog dialog, int number, boolean state) {
        Checkbox box = (Checkbox) dialog.getCheckboxes().get(number);
        EventQueue.invokeLater(() -> {
            box.setState(state);
            dialog.itemStateChanged(
                    new ItemEvent(box, ItemEvent.ITEM_STATE_CHANGED, box.getLabel(),
                            state ? ItemEvent.SELECTED : ItemEvent.DESELECTED));
        });
        settle();
    }

    private static void type(GenericDialog dialog, int number, String text) {
        ((TextField) dialog.getNumericFields().get(number)).setText(text);
        settle();
    }

    private static void settle() {
        IJ.wait(500);
    }

    /** Waits until a command has written so many rows. */
    private static void rows(int number) {
        await(
                "The Results table has not " + number + " rows.",
                () -> ResultsTable.getResultsTable().size() == number);
        settle();
    }

    private static void arrangeResults(int x, int y, int width, int height) {
        Frame results = WindowManager.getFrame("Results");
        results.setBounds(x, y, width, height);
        results.validate();
        settle();
    }

    private static void clear() {
        IJ.run("Clear Results");
        for (String name : new String[] {"Results", "ROI Manager", "Log"}) {
            Frame frame = WindowManager.getFrame(name);
            if (frame instanceof RoiManager) {
                ((RoiManager) frame).close();
            } else if (frame != null) {
                ((TextWindow) frame).close(false);
            }
        }
        int[] ids = WindowManager.getIDList();
        for (int id : ids == null ? new int[0] : ids) {
            ImagePlus image = WindowManager.getImage(id);
            image.changes = false;
            image.close();
        }
        settle();
    }

    private void picture(String name) throws Exception {
        settle();
        Rectangle area = null;
        for (Window window : Window.getWindows()) {
            if (window.isVisible()) {
                window.repaint();
                area = area == null ? window.getBounds() : area.union(window.getBounds());
            }
        }
        Rectangle screen = new Rectangle(java.awt.Toolkit.getDefaultToolkit().getScreenSize());
        area.grow(12, 12);
        settle();
        BufferedImage shot = robot.createScreenCapture(area.intersection(screen));
        ImageIO.write(shot, "png", new File(pictures, name + ".png"));
    }

    private void cancelledPreview() throws Exception {
        ImagePlus image = open("A02_s2_dna.tif", 20, 130, 1.25);
        image.setRoi(new ij.gui.OvalRoi(40, 30, 340, 280));
        GenericDialog dialog = dialog("Measure Focus...");
        dialog.setLocation(590, 130);
        List<?> boxes = dialog.getCheckboxes();
        check(dialog, boxes.size() - 1, true);
        await("The preview shows no patches.", () -> image.getOverlay() != null);
        require(image.getOverlay().size() == 20, "The preview has not all patches.");
        picture("dialog");
        press(dialog, 1);
        require(image.getOverlay() == null, "The preview stays after Cancel.");
        require(
                ResultsTable.getResultsTable().size() == 0, "A cancelled dialog measures.");
        require(image.lockSilently(), "The image stays locked after Cancel.");
        image.unlock();
        clear();
    }

    /** What the recorder writes, run again, must give the same row. */
    private void recordedLine() throws Exception {
        ImagePlus image = open("A02_s2_dna.tif", 20, 130, 1.25);
        Recorder recorder = new Recorder();
        GenericDialog dialog = dialog("Measure Focus...");
        type(dialog, 1, "0.5");
        type(dialog, 4, "0.65");
        check(dialog, 2, true);
        press(dialog, 0);
        rows(1);
        arrangeResults(590, 330, 660, 200);
        ImagePlus map = WindowManager.getImage("Level of A02_s2_dna.tif");
        require(map != null, "There is no map of levels.");
        IJ.run(map, "Set... ", "zoom=75");
        map.getWindow().setLocation(700, 10);
        recorder.setBounds(590, 560, 660, 210);
        recorder.validate();
        image.getWindow().toFront();
        picture("measure");
        String line = "";
        for (String recorded : recorder.getText().split("\n")) {
            line = recorded.startsWith("run(\"Measure Focus...\"") ? recorded : line;
        }
        require(
                line.contains("planes=") || line.contains("overlay legend level_map"),
                "The recorder has no readable line: " + recorder.getText());
        require(
                line.contains("na=0.5") && line.contains("wavelength_um=0.5")
                        && line.contains("pixel_size_um=0.65"),
                "The recorded line lacks the optics: " + line);
        System.out.println("Recorded: " + line);
        Recorder.record = false;
        recorder.close();
        map.close();
        WindowManager.setCurrentWindow(image.getWindow());
        String before = ResultsTable.getResultsTable().getRowAsString(0);
        clearRows();
        String result = IJ.runMacro(line);
        require(!"[aborted]".equals(result), "The recorded line is refused: " + line);
        rows(1);
        require(
                before.equals(ResultsTable.getResultsTable().getRowAsString(0)),
                "The recorded line gives another row.");
        clear();
    }

    private static void clearRows() {
        IJ.run("Clear Results");
        settle();
    }

    private void stack() throws Exception {
        ImagePlus image = open("B03_s1_dna_stack.tif", 20, 130, 3);
        image.setSlice(1);
        GenericDialog dialog = dialog("Find Best Focus Plane");
        press(dialog, 0);
        rows(1);
        // Both come after the row.
        await("The image does not go to slice 4.", () -> image.getZ() == 4);
        String title = "Focus of B03_s1_dna_stack.tif";
        await("There is no plot.", () -> WindowManager.getImage(title) != null);
        ImagePlus plot = WindowManager.getImage(title);
        plot.getWindow().setLocation(560, 130);
        clearRows();
        WindowManager.setCurrentWindow(image.getWindow());
        dialog = dialog("Measure Focus...");
        List<?> choices = dialog.getChoices();
        ((Choice) choices.get(0)).select("all");
        press(dialog, 0);
        rows(8);
        arrangeResults(560, 620, 720, 265);
        picture("stack");
        image.setSlice(1);
        clear();
    }

    private void regions() throws Exception {
        ImagePlus image = open("A02_s2_dna.tif", 20, 130, 1);
        RoiManager manager = new RoiManager();
        manager.setLocation(480, 130);
        int[][] cells = {{44, 31}, {199, 106}, {370, 233}};
        for (int i = 0; i < cells.length; i++) {
            Roi cell = new ij.gui.OvalRoi(cells[i][0] - 14, cells[i][1] - 14, 28, 28);
            cell.setName("cell " + (i + 1));
            manager.addRoi(cell);
        }
        PointRoi point = new PointRoi(173, 270);
        point.setName("point");
        manager.addRoi(point);
        GenericDialog dialog = dialog("Focus of ROIs");
        press(dialog, 0);
        rows(4);
        arrangeResults(20, 525, 680, 190);
        require(
                "cell 3".equals(ResultsTable.getResultsTable().getStringValue("roi", 2)),
                "The rows do not have the names of the entries.");
        require(
                ResultsTable.getResultsTable().getValue("level", 2)
                        > ResultsTable.getResultsTable().getValue("level", 0) + 3,
                "The blurred cell has no higher level than the sharp one.");
        picture("rois");
        clear();
    }

    private void folder() throws Exception {
        GenericDialog dialog = dialog("Measure Folder...");
        dialog.setLocation(20, 130);
        List<?> texts = dialog.getStringFields();
        ((TextField) texts.get(0)).setText(samples.getPath());
        ((TextField) texts.get(2)).setText("(?<well>[A-H]\\d+)_s(?<site>\\d+)_(?<channel>[a-z]+)");
        picture("folder-dialog");
        press(dialog, 0);
        rows(15);
        arrangeResults(20, 130, 1100, 380);
        picture("folder");
        clear();
    }

    /** An error ends a macro with its message, in a window too. */
    private void errors() throws Exception {
        open("A02_s2_dna.tif", 20, 130, 1);
        Interpreter interpreter = new Interpreter();
        interpreter.setIgnoreErrors(true);
        interpreter.run("run('Measure Focus...', 'rescale'); run('Measure Focus...', 'overlay');");
        require(
                String.valueOf(interpreter.getErrorMessage()).contains("Rescaling needs the optics"),
                "The macro has the message " + interpreter.getErrorMessage());
        require(
                ResultsTable.getResultsTable().size() == 0, "The macro went on after an error.");
        clear();
    }

    private void escape() throws Exception {
        ImagePlus large = IJ.createImage("large", "16-bit noise", 6000, 6000, 1);
        large.show();
        GenericDialog dialog = dialog("Measure Focus...");
        dialog.actionPerformed(new ActionEvent(
                dialog.getButtons()[0], ActionEvent.ACTION_PERFORMED, "OK"));
        IJ.wait(400);
        IJ.setKeyDown(KeyEvent.VK_ESCAPE);
        long pressed = System.nanoTime();
        await("Esc does not stop the command.", () -> {
            boolean free = large.lockSilently();
            if (free) {
                large.unlock();
            }
            return free;
        });
        System.out.println("Stopped after " + (System.nanoTime() - pressed) / 1000000 + " ms.");
        require(ResultsTable.getResultsTable().size() == 0, "A stopped command writes a row.");
        clear();
    }

    /** The example macros do what their first lines say. */
    private void examples() throws Exception {
        open("B03_s1_dna_stack.tif", 20, 130, 1);
        String macros = this.macros.getAbsolutePath() + File.separator;
        ended(IJ.runMacroFile(macros + "Measure_All_Planes.ijm"));
        rows(8);
        ended(IJ.runMacroFile(macros + "Keep_Best_Plane.ijm"));
        rows(9);
        require(
                WindowManager.getCurrentImage().getTitle().equals(
                        "Best focus of B03_s1_dna_stack.tif"),
                "The best plane was not duplicated.");
        clear();
        ended(IJ.runMacroFile(macros + "Screen_Folder.ijm", samples.getAbsolutePath()));
        rows(15);
        require(
                IJ.getLog().contains("B02_s1_dna.tif: no_content")
                        && !IJ.getLog().contains("A01_s1_dna.tif"),
                "The list of images to be taken again is wrong: " + IJ.getLog());
        clear();
    }

    private static void ended(String result) {
        require(!"[aborted]".equals(result), "An example was aborted.");
    }
}
