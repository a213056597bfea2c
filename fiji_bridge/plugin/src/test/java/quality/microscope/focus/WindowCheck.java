package quality.microscope.focus;

import ij.IJ;
import ij.ImageJ;
import ij.ImagePlus;
import ij.ImageStack;
import ij.Prefs;
import ij.WindowManager;
import ij.gui.GenericDialog;
import ij.gui.HTMLDialog;
import ij.gui.MessageDialog;
import ij.gui.PointRoi;
import ij.gui.Roi;
import ij.macro.Interpreter;
import ij.measure.ResultsTable;
import ij.plugin.Duplicator;
import ij.plugin.frame.Recorder;
import ij.plugin.frame.RoiManager;
import ij.text.TextWindow;
import java.awt.Button;
import java.awt.Checkbox;
import java.awt.Choice;
import java.awt.Component;
import java.awt.Container;
import java.awt.EventQueue;
import java.awt.Frame;
import java.awt.Point;
import java.awt.Rectangle;
import java.awt.Robot;
import java.awt.TextField;
import java.awt.Window;
import java.awt.event.ActionEvent;
import java.awt.event.InputEvent;
import java.awt.event.ItemEvent;
import java.awt.event.KeyEvent;
import java.awt.image.BufferedImage;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;
import java.util.function.BooleanSupplier;
import javax.imageio.ImageIO;
import javax.swing.JEditorPane;
import javax.swing.text.BadLocationException;
import javax.swing.text.Document;

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
        menuPicture();
        cancelledPreview();
        help();
        recordedLine();
        maps();
        stack();
        regions();
        folder();
        rating();
        ratedFolder();
        ownTables();
        memory();
        errors();
        escape();
        examples();
        page();
    }

    private static void require(boolean right, String sentence) {
        if (!right) {
            throw new AssertionError(sentence);
        }
    }

    private static void await(String sentence, BooleanSupplier condition) {
        for (int i = 0; i < 2400 && !condition.getAsBoolean(); i++) {
            IJ.wait(50);
        }
        require(condition.getAsBoolean(), sentence);
    }

    private static void menus() {
        String[] commands = {
            "Measure Focus...", "Find Best Focus Plane...", "Focus of ROIs...",
            "Measure Folder...", "Rate Image...", "Rate Folder...",
        };
        for (String command : commands) {
            // All of them open a dialog, which the dots say.
            require(
                    command.endsWith("...") && ij.Menus.getCommands().containsKey(command),
                    "The menus have no entry '" + command + "'.");
        }
    }

    /** Opens the menu with the mouse, for its picture. */
    private void menuPicture() throws Exception {
        ImageJ window = IJ.getInstance();
        window.toFront();
        settle();
        Point corner = window.getLocationOnScreen();
        int bar = corner.y + window.getInsets().top - 12;
        click(corner.x + 320, bar);
        // The last entry of the menu Plugins.
        for (int y = 0; y <= 145; y += 5) {
            robot.mouseMove(corner.x + 360, bar + y);
            IJ.wait(10);
        }
        click(corner.x + 360, bar + 145);
        write("menu", new Rectangle(corner.x - 10, corner.y - 10, 710, 315));
        for (int i = 0; i < 2; i++) {
            robot.keyPress(KeyEvent.VK_ESCAPE);
            robot.keyRelease(KeyEvent.VK_ESCAPE);
            settle();
        }
        // Over an image, the mouse would write its place into the status line.
        robot.mouseMove(1390, 890);
        IJ.resetEscape();
    }

    private void click(int x, int y) {
        robot.mouseMove(x, y);
        robot.mousePress(InputEvent.BUTTON1_DOWN_MASK);
        robot.mouseRelease(InputEvent.BUTTON1_DOWN_MASK);
        settle();
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

    private static ResultsTable table(String title) {
        return ResultsTable.getResultsTable(title);
    }

    private static int size(String title) {
        ResultsTable table = table(title);
        return table == null ? 0 : table.size();
    }

    /** Waits until a command has written so many rows into its table. */
    private static ResultsTable rows(String title, int number) {
        await(
                "The table '" + title + "' has not " + number + " rows.",
                () -> size(title) == number);
        settle();
        return table(title);
    }

    /** Gives an image that a command shows, once it does. */
    private static ImagePlus shown(String title) {
        await("There is no '" + title + "'.", () -> {
            ImagePlus image = WindowManager.getImage(title);
            return image != null && image.isVisible();
        });
        settle();
        return WindowManager.getImage(title);
    }

    private static void arrange(String title, int x, int y, int width, int height) {
        Frame table = WindowManager.getFrame(title);
        table.setBounds(x, y, width, height);
        table.validate();
        settle();
    }

    private static void closeTable(String title) {
        Frame frame = WindowManager.getFrame(title);
        if (frame != null) {
            ((TextWindow) frame).close(false);
        }
        settle();
    }

    private static void clear() {
        String[] names = {
            Table.PLANES, Table.STACKS, Table.ROIS, Table.FOLDER, Table.RATINGS,
            Table.RATED_FOLDER, "Results", "ROI Manager", "Log"};
        for (String name : names) {
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
        write(name, area.intersection(screen));
    }

    private void write(String name, Rectangle area) throws IOException {
        BufferedImage shot = robot.createScreenCapture(area);
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
        await("The preview stays after Cancel.", () -> image.getOverlay() == null);
        require(size(Table.PLANES) == 0, "A cancelled dialog measures.");
        require(image.lockSilently(), "The image stays locked after Cancel.");
        image.unlock();
        clear();
    }

    /** The button Help shows what the fields mean, without any network. */
    private void help() throws Exception {
        open("A02_s2_dna.tif", 20, 130, 1.25);
        GenericDialog dialog = dialog("Measure Focus...");
        Button help = dialog.getButtons()[3];
        EventQueue.invokeLater(() -> dialog.actionPerformed(
                new ActionEvent(help, ActionEvent.ACTION_PERFORMED, help.getLabel())));
        HTMLDialog[] found = new HTMLDialog[1];
        await("No help came.", () -> {
            for (Window window : Window.getWindows()) {
                if (window instanceof HTMLDialog && window.isVisible()) {
                    found[0] = (HTMLDialog) window;
                }
            }
            return found[0] != null;
        });
        String text = text(found[0].getContentPane());
        for (String part : new String[] {
            "Highest expected level that is in focus", "Numerical aperture (NA)",
            "in_focus_limit", "github.com"}) {
            require(text.contains(part), "Help lacks '" + part + "': " + text);
        }
        picture("help");
        // The key that closes it is not meant for the command.
        EventQueue.invokeLater(() -> found[0].keyPressed(new KeyEvent(
                found[0], KeyEvent.KEY_PRESSED, System.currentTimeMillis(), 0,
                KeyEvent.VK_ESCAPE, KeyEvent.CHAR_UNDEFINED)));
        await("Help stays open.", () -> !found[0].isVisible());
        press(dialog, 0);
        rows(Table.PLANES, 1);
        clear();
    }

    private static String text(Container parts) {
        StringBuilder text = new StringBuilder();
        for (Component part : parts.getComponents()) {
            if (part instanceof JEditorPane) {
                try {
                    Document document = ((JEditorPane) part).getDocument();
                    text.append(document.getText(0, document.getLength()));
                } catch (BadLocationException error) {
                    throw new AssertionError(error);
                }
            } else if (part instanceof Container) {
                text.append(text((Container) part));
            }
        }
        return text.toString();
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
        ResultsTable table = rows(Table.PLANES, 1);
        require(
                table.getColumnHeadings().startsWith("file\tz\tc\tt\twidth\theight\tlevel\t"),
                "The place does not come first: " + table.getColumnHeadings());
        require(
                table.getRowAsString(0).startsWith("A02_s2_dna.tif\t\t\t\t420\t336\t"),
                "What is empty is not: " + table.getRowAsString(0));
        arrange(Table.PLANES, 590, 330, 660, 200);
        ImagePlus map = shown("Level of A02_s2_dna.tif");
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
        String before = table.getRowAsString(0);
        closeTable(Table.PLANES);
        String result = IJ.runMacro(line);
        require(!"[aborted]".equals(result), "The recorded line is refused: " + line);
        require(
                before.equals(rows(Table.PLANES, 1).getRowAsString(0)),
                "The recorded line gives another row.");
        clear();
    }

    /** In maps, what is not measured is not in the colour of what is in focus. */
    private void maps() throws Exception {
        ImagePlus image = open("A02_s2_dna.tif", 20, 130, 1);
        image.setRoi(new ij.gui.OvalRoi(110, 60, 300, 270));
        IJ.run(image, "Measure Focus...", "level_map certainty_map probability_stack");
        rows(Table.PLANES, 1);
        closeTable(Table.PLANES);
        int at = 450;
        for (String title : new String[] {
            "Level of A02_s2_dna.tif", "Probabilities of A02_s2_dna.tif"}) {
            ImagePlus map = shown(title);
            map.getWindow().setLocation(at, 130);
            at += 430;
            require(Float.isNaN(map.getProcessor().getf(5, 5)), title + " has no NaN.");
            int nothing = map.getBufferedImage().getRGB(5, 5);
            for (int x = 0; x < map.getWidth(); x += 10) {
                boolean measured = !Float.isNaN(map.getProcessor().getf(x, 200));
                require(
                        !measured || map.getBufferedImage().getRGB(x, 200) != nothing,
                        title + " shows what is not measured as a value.");
            }
        }
        WindowManager.getImage("Certainty of A02_s2_dna.tif").close();
        picture("maps");
        clear();
    }

    private void stack() throws Exception {
        ImagePlus image = open("B03_s1_dna_stack.tif", 20, 130, 3);
        image.setSlice(1);
        GenericDialog dialog = dialog("Find Best Focus Plane...");
        press(dialog, 0);
        rows(Table.STACKS, 1);
        // Both come after the row.
        await("The image does not go to slice 4.", () -> image.getZ() == 4);
        String title = "Focus of B03_s1_dna_stack.tif";
        ImagePlus plot = shown(title);
        plot.getWindow().setLocation(560, 130);
        arrange(Table.STACKS, 20, 715, 520, 120);
        WindowManager.setCurrentWindow(image.getWindow());
        dialog = dialog("Measure Focus...");
        List<?> choices = dialog.getChoices();
        ((Choice) choices.get(0)).select("all");
        press(dialog, 0);
        rows(Table.PLANES, 8);
        arrange(Table.PLANES, 560, 620, 720, 265);
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
        GenericDialog dialog = dialog("Focus of ROIs...");
        press(dialog, 0);
        ResultsTable table = rows(Table.ROIS, 4);
        arrange(Table.ROIS, 20, 525, 680, 190);
        require(
                "cell 3".equals(table.getStringValue("roi", 2)),
                "The rows do not have the names of the entries.");
        require(
                table.getValue("level", 2) > table.getValue("level", 0) + 3,
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
        rows(Table.FOLDER, 15);
        arrange(Table.FOLDER, 20, 130, 1100, 380);
        picture("folder");
        clear();
    }

    private File micrographs() {
        return new File(samples.getAbsoluteFile().getParentFile(), "micrographs");
    }

    /** Rates drawn electron micrographs, whose faults are known. */
    private void rating() throws Exception {
        ImageStack stack = new ImageStack(384, 384);
        String[] names = {"r0_c0", "r0_c1", "r0_c2", "r0_c3", "r1_c0", "r1_c1"};
        String[] causes = {"", "blur", "astigmatism", "noise", "line noise", "jitter"};
        for (String name : names) {
            File file = new File(micrographs(), "section1_" + name + ".tif");
            stack.addSlice(file.getName(), IJ.openImage(file.getPath()).getProcessor());
        }
        ImagePlus image = new ImagePlus("section1", stack);
        image.show();
        image.setSlice(3);
        image.getWindow().setLocation(20, 130);
        GenericDialog dialog = dialog("Rate Image...");
        dialog.setLocation(440, 130);
        ((Choice) dialog.getChoices().get(0)).select("all");
        check(dialog, 2, true);
        picture("rate-dialog");
        press(dialog, 0);
        ResultsTable table = rows(Table.RATINGS, names.length);
        for (int i = 0; i < names.length; i++) {
            require(
                    causes[i].equals(table.getStringValue("cause", i)),
                    names[i] + " has the cause " + table.getStringValue("cause", i));
        }
        // Counter-clockwise, as seen on the screen.
        require(
                Math.abs(table.getValue("angle_deg", 2) - 120) < 15,
                "The astigmatism lies at " + table.getValue("angle_deg", 2) + " degrees.");
        ImagePlus map = shown("Score of section1");
        float lowest = (float) table.getValue("score_low", 2);
        require(
                map.getStack().getProcessor(3).getf(10, 10) >= lowest - 0.1,
                "The map has other numbers than the table.");
        map.close();
        ImagePlus good = new Duplicator().run(image, 1, 1);
        good.setTitle("section1, slice 1");
        good.show();
        good.getWindow().setLocation(440, 130);
        arrange(Table.RATINGS, 20, 610, 1340, 200);
        image.getWindow().toFront();
        picture("rate");
        clear();
    }

    private void ratedFolder() throws Exception {
        GenericDialog dialog = dialog("Rate Folder...");
        dialog.setLocation(20, 130);
        ((TextField) dialog.getStringFields().get(0)).setText(micrographs().getPath());
        press(dialog, 0);
        ResultsTable table = rows(Table.RATED_FOLDER, 8);
        require(
                "no_content".equals(table.getStringValue("status", 7)),
                "Resin is " + table.getStringValue("status", 7));
        clear();
    }

    /** Each command has its table, and none writes into that of ImageJ's own Measure. */
    private void ownTables() throws Exception {
        ImagePlus image = open("B03_s1_dna_stack.tif", 20, 130, 1);
        IJ.run("Set Measurements...", "mean redirect=None decimal=3");
        IJ.run(image, "Measure", "");
        image.setRoi(new PointRoi(80, 90));
        for (int i = 1; i <= 2; i++) {
            IJ.run(image, "Measure Focus...", "overlay");
            IJ.run(image, "Find Best Focus Plane...", "");
            IJ.run(image, "Focus of ROIs...", "");
            for (String title : new String[] {Table.PLANES, Table.STACKS, Table.ROIS}) {
                rows(title, i);
            }
        }
        ResultsTable results = ResultsTable.getResultsTable();
        require(
                results.size() == 1 && !results.columnExists("file"),
                "A command has written into the Results table: " + results.getColumnHeadings());
        IJ.run("Clear Results");
        clear();
    }

    private static String typed(GenericDialog dialog, int number) {
        return ((TextField) dialog.getNumericFields().get(number)).getText();
    }

    /** Aperture and pixel size are there again the next time, also for another command. */
    private void memory() throws Exception {
        ImagePlus image = open("B03_s1_dna_stack.tif", 20, 130, 1);
        GenericDialog dialog = dialog("Measure Focus...");
        type(dialog, 1, "0.45");
        type(dialog, 4, "0.7");
        press(dialog, 0);
        rows(Table.PLANES, 1);
        dialog = dialog("Find Best Focus Plane...");
        require(
                typed(dialog, 1).equals("0.45") && typed(dialog, 4).equals("0.7"),
                "The dialog has forgotten aperture and pixel size: " + typed(dialog, 1) + ", "
                        + typed(dialog, 4));
        press(dialog, 1);
        // What an image says of itself comes before, and is not kept for others.
        image.getCalibration().setUnit("nm");
        image.getCalibration().pixelWidth = 600;
        image.getCalibration().pixelHeight = 650;
        dialog = dialog("Measure Focus...");
        require(
                typed(dialog, 4).equals("0.6245"),
                "The calibration is not in the dialog: " + typed(dialog, 4));
        press(dialog, 0);
        rows(Table.PLANES, 2);
        // A folder's files may have their own.
        dialog = dialog("Measure Folder...");
        require(
                typed(dialog, 1).equals("0.45") && typed(dialog, 4).isEmpty(),
                "The dialog of a folder has the pixel size " + typed(dialog, 4));
        press(dialog, 1);
        clear();
    }

    /** Gives the dialog with a message. */
    private static MessageDialog message() {
        MessageDialog[] found = new MessageDialog[1];
        await("No message came.", () -> {
            for (Window window : Window.getWindows()) {
                if (window instanceof MessageDialog && window.isVisible()) {
                    found[0] = (MessageDialog) window;
                }
            }
            return found[0] != null;
        });
        settle();
        return found[0];
    }

    /** An error ends a macro with its message, in a window too. */
    private void errors() throws Exception {
        open("A02_s2_dna.tif", 20, 130, 1);
        Interpreter interpreter = new Interpreter();
        interpreter.setIgnoreErrors(true);
        interpreter.run("run('Measure Focus...', 'rescale'); run('Measure Focus...', 'overlay');");
        require(
                String.valueOf(interpreter.getErrorMessage()).contains("rescale needs the optics"),
                "The macro has the message " + interpreter.getErrorMessage());
        require(size(Table.PLANES) == 0, "The macro went on after an error.");
        // A dialog calls its fields as it shows them.
        String[][] wrong = {
            {"0,5", "\"Numerical aperture (NA)\" must be a number, not '0,5'."},
            {"1.3", "\"Numerical aperture (NA)\" must be below the refractive index"},
        };
        for (String[] given : wrong) {
            GenericDialog dialog = dialog("Measure Focus...");
            type(dialog, 1, given[0]);
            press(dialog, 0);
            MessageDialog message = message();
            String said = IJ.getErrorMessage();
            require(said.contains(given[1]), "The dialog's error is " + said);
            EventQueue.invokeLater(message::dispose);
            await("The message stays.", () -> !message.isVisible());
        }
        clear();
    }

    /** Does what ImageJ's window does at the key. */
    private static void pressEscape() {
        ImageJ window = IJ.getInstance();
        window.keyPressed(new KeyEvent(
                window, KeyEvent.KEY_PRESSED, System.currentTimeMillis(), 0, KeyEvent.VK_ESCAPE,
                KeyEvent.CHAR_UNDEFINED));
    }

    /** Esc stops within a plane, and keeps the rows of those before; the status line tells both. */
    private void escape() throws Exception {
        ImagePlus large = IJ.createImage("large", "16-bit noise", 3000, 3000, 12);
        large.show();
        GenericDialog dialog = dialog("Measure Focus...");
        ((Choice) dialog.getChoices().get(0)).select("all");
        type(dialog, 1, "");
        dialog.actionPerformed(new ActionEvent(
                dialog.getButtons()[0], ActionEvent.ACTION_PERFORMED, "OK"));
        await(
                "The status line does not say what runs.",
                () -> ImageJ.getStatusBarText().equals("Measure Focus: plane 3 of 12 of large"));
        pressEscape();
        long pressed = System.nanoTime();
        await("Esc does not stop the command.", () -> {
            boolean free = large.lockSilently();
            if (free) {
                large.unlock();
            }
            return free;
        });
        System.out.println("Stopped after " + (System.nanoTime() - pressed) / 1000000 + " ms.");
        ResultsTable table = rows(Table.PLANES, 2);
        require(table.getValue("z", 1) == 2, "The rows before Esc are not those of the planes.");
        String said = "Measure Focus: stopped at plane 3 of 12; 2 rows are in the table";
        require(
                ImageJ.getStatusBarText().equals(said),
                "The status line says " + ImageJ.getStatusBarText());
        // A macro ends, too.
        String line = "run('Measure Focus...', 'planes=all'); print('went on');";
        Thread macro = new Thread(() -> new Interpreter().run(line));
        macro.start();
        await(
                "The macro does not run.",
                () -> ImageJ.getStatusBarText().equals("Measure Focus: plane 2 of 12 of large"));
        pressEscape();
        macro.join();
        rows(Table.PLANES, 3);
        require(!String.valueOf(IJ.getLog()).contains("went on"), "The macro goes on after Esc.");
        clear();
    }

    /** The example macros do what their first lines say. */
    private void examples() throws Exception {
        open("B03_s1_dna_stack.tif", 20, 130, 1);
        String macros = this.macros.getAbsolutePath() + File.separator;
        ended(IJ.runMacroFile(macros + "Measure_All_Planes.ijm"));
        rows(Table.PLANES, 8);
        ended(IJ.runMacroFile(macros + "Keep_Best_Plane.ijm"));
        rows(Table.STACKS, 1);
        require(
                WindowManager.getCurrentImage().getTitle().equals(
                        "Best focus of B03_s1_dna_stack.tif"),
                "The best plane was not duplicated.");
        clear();
        ended(IJ.runMacroFile(macros + "Screen_Folder.ijm", samples.getAbsolutePath()));
        rows(Table.FOLDER, 15);
        require(
                IJ.getLog().contains("B02_s1_dna.tif: no_content")
                        && !IJ.getLog().contains("A01_s1_dna.tif"),
                "The list of images to be taken again is wrong: " + IJ.getLog());
        clear();
        String place = micrographs().getAbsolutePath();
        ended(IJ.runMacroFile(macros + "Retake_List.ijm", place));
        rows(Table.RATED_FOLDER, 8);
        require(
                IJ.getLog().contains("section1_r0_c2.tif: 0.57, astigmatism, restigmate")
                        && !IJ.getLog().contains("section1_r0_c0.tif"),
                "The list of images to be retaken is wrong: " + IJ.getLog());
        clear();
    }

    /** The macros of the page about Fiji work as they stand there. */
    private void page() throws Exception {
        File page = new File(samples.getAbsoluteFile().getParentFile(), "fiji.md");
        String text = new String(Files.readAllBytes(page.toPath()), StandardCharsets.UTF_8);
        int start = text.indexOf("```\n", text.indexOf("## By macro")) + 4;
        int end = text.indexOf("```", start);
        File csv = File.createTempFile("focus", ".csv");
        require(csv.delete(), "There is no place for a table.");
        String macro = text.substring(start, end)
                .replace("/data/plate", samples.getAbsolutePath())
                .replace("/data/focus.csv", csv.getPath());
        open("B03_s1_dna_stack.tif", 20, 130, 1);
        String result = IJ.runMacro(macro + "return d2s(level, 1) + ' ' + slice + ' ' + status;");
        require("5.0 4 in_focus".equals(result), "The page's macro gives " + result);
        rows(Table.PLANES, 8);
        rows(Table.FOLDER, 15);
        require(Files.readAllLines(csv.toPath()).size() == 16, "The page's table is not complete.");
        require(csv.delete(), "The table stays.");
        clear();
        start = text.indexOf("```\n", end + 4) + 4;
        macro = text.substring(start, text.indexOf("```", start));
        IJ.openImage(new File(micrographs(), "section1_r0_c2.tif").getPath()).show();
        result = IJ.runMacro(macro + "return d2s(score, 2) + ' ' + action;");
        require("0.57 restigmate".equals(result), "The page's macro gives " + result);
        clear();
    }

    private static void ended(String result) {
        require(!"[aborted]".equals(result), "An example was aborted.");
    }
}
