package quality.microscope.focus;

import ij.gui.Roi;
import java.util.function.DoublePredicate;

/**
 * How to rate. Settings do not change: each method gives new ones, as in {@code
 * RatingSettings.standard().scoreLimit(0.6).places(27)}.
 */
public final class RatingSettings {
    private static final int MOST_PLACES = 1_000_000;

    /** The rater. */
    public final RatingModel model;
    /** The lowest score that is good. */
    public final double scoreLimit;
    /** Number of places that are looked at; 0 for the whole image. */
    public final int places;

    final boolean[] mask;
    final DoublePredicate progress;

    private RatingSettings(
            RatingModel model, double scoreLimit, int places, boolean[] mask,
            DoublePredicate progress) {
        this.model = model;
        this.scoreLimit = scoreLimit;
        this.places = places;
        this.mask = mask;
        this.progress = progress;
    }

    /** Gives the plugin's own rater, all patches, no mask, and the score limit 0.7. */
    public static RatingSettings standard() {
        return of(RatingModel.standard());
    }

    static RatingSettings of(RatingModel model) {
        return new RatingSettings(model, Components.LOWEST_GOOD_SCORE, 0, null, share -> true);
    }

    /** Takes another rater: see {@link RatingModel#load}. */
    public RatingSettings model(String path) {
        return new RatingSettings(RatingModel.load(path), scoreLimit, places, mask, progress);
    }

    /**
     * Sets the lowest score that is good.
     *
     * @throws FocusException if it is no score
     */
    public RatingSettings scoreLimit(double limit) {
        if (!(limit >= Components.LOWEST_SCORE && limit <= 1)) {
            throw FocusException.of(
                    "score_limit",
                    "must be a score from " + Table.general(Components.LOWEST_SCORE, 6)
                            + " to 1, not " + Table.general(limit, 6) + ".");
        }
        return new RatingSettings(model, limit, places, mask, progress);
    }

    /**
     * Rates a sample of a large image: places of six patches each, every patch in the middle of a
     * part of the image. An image without room for more places is rated whole.
     *
     * @param number of places; 0 for the whole image
     * @throws FocusException if it is negative, or beyond a million
     */
    public RatingSettings places(int number) {
        if (number < 0 || number > MOST_PLACES) {
            throw FocusException.of(
                    "patches", "must be from 1 to " + MOST_PLACES + ", not " + number + ".");
        }
        return new RatingSettings(model, scoreLimit, number, mask, progress);
    }

    /**
     * Sets which pixels count. A patch is rated when all of it does.
     *
     * @param mask height * width flags, row by row; null for all
     */
    public RatingSettings mask(boolean[] mask) {
        return new RatingSettings(model, scoreLimit, places, mask, progress);
    }

    /** Lets the pixels inside a selection count; all when it is null or no area. */
    public RatingSettings selection(Roi selection, int height, int width) {
        return mask(Plane.mask(selection, height, width));
    }

    /**
     * Hears of the progress.
     *
     * @param progress takes the share that is done, 0 to 1; gives whether to go on
     */
    RatingSettings progress(DoublePredicate progress) {
        return new RatingSettings(model, scoreLimit, places, mask, progress);
    }
}
