-- 0037_places_of_data: what is left to be tied to places of data (core/graph/place.h): at a place, artifacts behind after_uid, of a stage;
-- place 0: all nodes up to `last` that were there before there were places.
CREATE TABLE place_work (
    place {int} NOT NULL PRIMARY KEY,
    stage {int} NOT NULL,
    after_uid {int} NOT NULL,
    last {int} NOT NULL
) {strict};
INSERT INTO place_work (place, stage, after_uid, last) SELECT 0, 0, 0, uid FROM node ORDER BY uid DESC LIMIT 1;
