package quality.microscope.focus;

import ij.gui.Roi;
import java.util.function.DoublePredicate;

/**
 * How to measure. Settings do not change: each method gives new ones, as in {@code
 * FocusSettings.standard().optics(0.5, 1, 0.5, 0.65).inFocusLimit(2)}.
 */
public final class FocusSettings {
    /** Nearer to level 1 than to level 2. */
    static final double IN_FOCUS_LIMIT = 1.5;

    /** The model. */
    public final FocusModel model;
    /** Of the image, or null; gives the defocus in µm, and brings it to the model's sampling. */
    public final Optics optics;
    /** Whether an image of known optics is brought to the sampling that the model knows. */
    public final boolean rescale;
    /** The highest expected level that is in focus. */
    public final double inFocusLimit;

    /** Whether an image of unknown optics is refused. */
    final boolean opticsNeeded;
    final boolean[] mask;
    final DoublePredicate progress;

    private FocusSettings(
            FocusModel model, Optics optics, boolean rescale, boolean opticsNeeded,
            double inFocusLimit, boolean[] mask, DoublePredicate progress) {
        this.model = model;
        this.optics = optics;
        this.rescale = rescale;
        this.opticsNeeded = opticsNeeded;
        this.inFocusLimit = inFocusLimit;
        this.mask = mask;
        this.progress = progress;
    }

    /** Gives the plugin's own model, no optics, no mask, and the in-focus limit 1.5. */
    public static FocusSettings standard() {
        return of(FocusModel.standard());
    }

    static FocusSettings of(FocusModel model) {
        return new FocusSettings(model, null, true, false, IN_FOCUS_LIMIT, null, share -> true);
    }

    /** Gives the distance from focus of a level of the binned image, in µm; NaN without optics. */
    double defocusUm(double level, int binning) {
        return optics == null ? Double.NaN : optics.defocusOfAddedBlur(
                Optics.BLUR_PX_PER_LEVEL * level * binning, model.optics.widestFocusPx() * binning);
    }

    /** Takes another model: see {@link FocusModel#load}. */
    public FocusSettings model(String path) {
        return new FocusSettings(
                FocusModel.load(path), optics, rescale, opticsNeeded, inFocusLimit, mask, progress);
    }

    /** Takes the image's optics; null for unknown. */
    public FocusSettings optics(Optics optics) {
        return new FocusSettings(
                model, optics, rescale, opticsNeeded, inFocusLimit, mask, progress);
    }

    /** Takes the image's optics: see {@link Optics}. */
    public FocusSettings optics(
            double na, double refractiveIndex, double wavelengthUm, double pixelSizeUm) {
        return optics(new Optics(na, refractiveIndex, wavelengthUm, pixelSizeUm));
    }

    /**
     * Says whether a finely sampled image is binned, by the whole number that comes closest to the
     * model's pixel size * NA / wavelength. Unless it is said, it is when the optics are known. A
     * coarser image is measured as it is.
     *
     * @param rescale true refuses an image of unknown optics; false measures the pixels as they are
     */
    public FocusSettings rescale(boolean rescale) {
        return new FocusSettings(model, optics, rescale, rescale, inFocusLimit, mask, progress);
    }

    /**
     * Sets the highest expected level that is in focus.
     *
     * @throws FocusException if it is no level of the model
     */
    public FocusSettings inFocusLimit(double limit) {
        if (!(limit >= 0 && limit <= model.levels - 1)) {
            throw FocusException.of(
                    "in_focus_limit",
                    "must be a level from 0 to " + (model.levels - 1) + ", not "
                            + Table.general(limit, 6) + ".");
        }
        return new FocusSettings(model, optics, rescale, opticsNeeded, limit, mask, progress);
    }

    /**
     * Sets which pixels count. A patch is measured when at least half of it counts, and more is to
     * be seen in it than the mask's border.
     *
     * @param mask height * width flags, row by row; null for all
     */
    public FocusSettings mask(boolean[] mask) {
        return new FocusSettings(
                model, optics, rescale, opticsNeeded, inFocusLimit, mask, progress);
    }

    /** Lets the pixels inside a selection count; all when it is null or no area. */
    public FocusSettings selection(Roi selection, int height, int width) {
        return mask(Plane.mask(selection, height, width));
    }

    /**
     * Hears of the progress.
     *
     * @param progress takes the share that is done, 0 to 1; gives whether to go on
     */
    FocusSettings progress(DoublePredicate progress) {
        return new FocusSettings(
                model, optics, rescale, opticsNeeded, inFocusLimit, mask, progress);
    }
}
