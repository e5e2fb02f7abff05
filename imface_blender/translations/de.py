# SPDX-License-Identifier: GPL-3.0-or-later
"""German, in the words of Blender's own German interface.

English text -> German text. What stands in braces is filled in: it has to stay as it is, but may
move. Descriptions of properties and operators end without a full stop, which Blender adds.
"""

#: Names of operators, and of their buttons.
OPERATORS = {
    "Add Expressions": "Ausdrücke hinzufügen",
    "Add Blend Slider": "Überblend-Regler hinzufügen",
    "Add Morph": "Morph hinzufügen",
    "Apply Shape Preset": "Formvorgabe anwenden",
    "Bake Animation": "Animation backen",
    "Blend Faces": "Gesichter überblenden",
    "Cancel Face Job": "Gesichtsberechnung abbrechen",
    "Copy Details": "Details kopieren",
    "Copy Face": "Gesicht kopieren",
    "Dismiss Error": "Fehler ausblenden",
    "Edit Face Shape": "Gesichtsform bearbeiten",
    "Face Capture (.csv)": "Mimikaufnahme (.csv)",
    "Face Scan (.obj, .ply, .stl, .glb)": "Gesichtsscan (.obj, .ply, .stl, .glb)",
    "Fit Face to File": "Gesicht an Datei anpassen",
    "Fit Face to Scan": "Gesicht an Scan anpassen",
    "Free Memory": "Speicher freigeben",
    "Generate Face": "Gesicht erzeugen",
    "Import Face Capture": "Mimikaufnahme importieren",
    "Jaw Open": "Kiefer offen",
    "Keep Fit So Far": "Bisherige Anpassung behalten",
    "Keep This Face": "Dieses Gesicht behalten",
    "Keyframe Expression": "Schlüsselbild für Ausdruck einfügen",
    "Load Face": "Gesicht laden",
    "Make Face of Codes": "Gesicht aus Codes erstellen",
    "Mark Landmarks": "Landmarken setzen",
    "Neutral": "Neutral",
    "Neutralise Face": "Gesicht neutralisieren",
    "Paste Face": "Gesicht einfügen",
    "Random Gallery": "Zufallsgalerie",
    "Random Shape": "Zufällige Form",
    "Refine Shape": "Form verfeinern",
    "Remove Bake": "Backen entfernen",
    "Remove Runtime": "Laufzeitumgebung entfernen",
    "Remove Shape Preset": "Formvorgabe entfernen",
    "Reset Expressions": "Ausdrücke zurücksetzen",
    "Reset Shape": "Form zurücksetzen",
    "Save Face": "Gesicht speichern",
    "Save Face to Library": "Gesicht in Bibliothek speichern",
    "Save Shape Preset": "Formvorgabe speichern",
    "Set Sliders": "Regler setzen",
    "Show Fit Error": "Abweichung anzeigen",
    "Smile": "Lächeln",
    "Test Worker": "Worker testen",
    "Use My GPU": "Meine GPU verwenden",
}

#: Headings, and names and descriptions of properties and choices.
_INTERFACE = {
    "0 is the job that runs, 1 the first in line": (
        "0 ist die laufende Berechnung, 1 die erste in der Reihe"
    ),
    "0 gives the active face, 1 the other selected one, or the mean of all others": (
        "0 ergibt das aktive Gesicht, 1 das andere ausgewählte oder das Mittel aller anderen"
    ),
    "A Python program, with PyTorch installed, in which faces are computed. Empty: what the "
    "add-on's zip brings is used": (
        "Ein Python-Programm mit installiertem PyTorch, in dem Gesichter berechnet werden. Leer: "
        "Es wird verwendet, was das Zip des Add-ons mitbringt"
    ),
    "A face's codes": "Die Codes eines Gesichts",
    "Also carry over what the face model cannot express, such as wrinkles: moves the skin by up "
    "to 5 mm, in all expressions, and takes some seconds longer": (
        "Auch übernehmen, was das Gesichtsmodell nicht ausdrücken kann, etwa Falten: verschiebt "
        "die Haut um bis zu 5 mm, in allen Ausdrücken, und dauert einige Sekunden länger"
    ),
    "Also keyframe the object's delta rotation from HeadYaw, HeadPitch and HeadRoll; its own "
    "rotation stays as it is": (
        "Auch Schlüsselbilder für die Delta-Rotation des Objekts einfügen, aus HeadYaw, HeadPitch "
        "und HeadRoll; seine eigene Rotation bleibt, wie sie ist"
    ),
    "An OBJ, PLY, STL or GLB file, in any unit and lying anyhow": (
        "Eine OBJ-, PLY-, STL- oder GLB-Datei, in beliebiger Einheit und Lage"
    ),
    "Animate": "Animieren",
    "Blend": "Überblendung",
    "Both": "Beides",
    "Brows": "Brauen",
    "Brows and the forehead just above them": "Brauen und die Stirn dicht darüber",
    "Capture Detail": "Details erfassen",
    "Capture Rate": "Aufnahmerate",
    "Cheeks and Nose": "Wangen und Nase",
    "Whole Face": "Ganzes Gesicht",
    "Chin, jaw and the outer cheeks": "Kinn, Kiefer und die äußeren Wangen",
    "Codes": "Codes",
    "End": "Ende",
    "Expression": "Ausdruck",
    "Expression to key name, as JSON": "Zu jedem Ausdruck der Name des Schlüssels, als JSON",
    "Expressions": "Ausdrücke",
    "Expressions of either set, separated by commas, such as jawOpen, browInnerUp; empty for the "
    "whole set": (
        "Ausdrücke aus beiden Sätzen, durch Kommas getrennt, etwa jawOpen, browInnerUp; leer für "
        "den ganzen Satz"
    ),
    "Set": "Satz",
    "Which expressions there are, unless Names chooses some": (
        "Welche Ausdrücke es gibt, wenn „Namen“ keine auswählt"
    ),
    "ARKit": "ARKit",
    "FaceScape": "FaceScape",
    "Parts of expressions, such as jawOpen and mouthSmileLeft": (
        "Teile von Ausdrücken, etwa jawOpen und mouthSmileLeft"
    ),
    "Whole expressions, such as smile, anger and eye_closed; not along with ARKit's parts, which "
    "are in them": (
        "Ganze Ausdrücke, etwa smile, anger und eye_closed; nicht zusammen mit ARKits Teilen, die "
        "darin enthalten sind"
    ),
    "Eyes": "Augen",
    "Eyes and lids": "Augen und Lider",
    "Face": "Gesicht",
    "Face and Head": "Gesicht und Kopf",
    "Face, head and neck, without eyes and the inner mouth": (
        "Gesicht, Kopf und Hals, ohne Augen und inneren Mund"
    ),
    "Factor": "Faktor",
    "Factor on all expressions; values stay within the shape keys' ranges": (
        "Faktor für alle Ausdrücke; die Werte bleiben in den Bereichen der Formschlüssel"
    ),
    "File": "Datei",
    "Filter": "Filter",
    "First frame": "Erstes Einzelbild",
    "Fit Face to Scan": "Gesicht an Scan anpassen",
    "Fit Scan": "An Scan anpassen",
    "Frame": "Einzelbild",
    "Forehead": "Stirn",
    "Frame of the file's first row": "Einzelbild der ersten Zeile der Datei",
    "Frame of the scene; the current one if none is named": (
        "Einzelbild der Szene; das aktuelle, wenn keines angegeben ist"
    ),
    "Free Memory After": "Speicher freigeben nach",
    "Gallery": "Galerie",
    "Generate": "Erzeugen",
    "Generate Face": "Gesicht erzeugen",
    "How far Mix moves the sliders: 0 leaves them, 1 is the preset": (
        "Wie weit „Mischen“ die Regler bewegt: 0 lässt sie, wo sie sind, 1 ist die Vorgabe"
    ),
    "Move them towards the preset's values, as far as the factor says": (
        "Sie zu den Werten der Vorgabe hin bewegen, so weit, wie der Faktor angibt"
    ),
    "Name of a shape preset": "Name einer Formvorgabe",
    "None yet: save one with the button beside": "Noch keine: mit der Taste daneben eine speichern",
    "Place": "Platz",
    "Preset": "Vorgabe",
    "Presets": "Vorgaben",
    "Replace": "Ersetzen",
    "Set them to the preset's values, and those that it does not have to 0": (
        "Sie auf die Werte der Vorgabe setzen, und die, die sie nicht hat, auf 0"
    ),
    "Shape Presets": "Formvorgaben",
    "What a shape preset does to the unlocked sliders": (
        "Was eine Formvorgabe mit den nicht gesperrten Reglern tut"
    ),
    "Name of the scan that a fit was made for": "Name des Scans, zu dem eine Anpassung gehört",
    "Whether it holds the faces of a Random Gallery together": (
        "Ob es die Gesichter einer Zufallsgalerie zusammenhält"
    ),
    "Grid cells along each side of the head; only for the network's own surface": (
        "Gitterzellen entlang jeder Seite des Kopfs; nur für die eigene Oberfläche des Netzwerks"
    ),
    "Guess": "Schätzung",
    "Head": "Kopf",
    "Head Rotation": "Kopfrotation",
    "Which mesh the face has": "Welches Mesh das Gesicht hat",
    "How far the face is from the average one: 0 is the average, 1 is usual": (
        "Wie weit das Gesicht vom durchschnittlichen entfernt ist: 0 ist der Durchschnitt, 1 ist "
        "üblich"
    ),
    "How far, in millimetres, the animated mesh may be off": (
        "Wie weit, in Millimetern, das animierte Mesh abweichen darf"
    ),
    "How well a fit matches its scan, as JSON": (
        "Wie gut eine Anpassung mit ihrem Scan übereinstimmt, als JSON"
    ),
    "Identity": "Identität",
    "In-Betweens": "Zwischenformen",
    "Jaw": "Kiefer",
    "Landmark": "Landmarke",
    "Last frame": "Letztes Einzelbild",
    "Mesh": "Mesh",
    "Mix": "Mischen",
    "Mix the expressions, keep who the active face is": (
        "Die Ausdrücke mischen, die Identität des aktiven Gesichts beibehalten"
    ),
    "Mix who it is and the expression": "Identität und Ausdruck mischen",
    "Mix who it is, keep the active face's expression": (
        "Die Identität mischen, den Ausdruck des aktiven Gesichts beibehalten"
    ),
    "Mouth": "Mund",
    "Names": "Namen",
    "Narrow Face": "Schmales Gesicht",
    "Names of their keys, as JSON": "Namen ihrer Schlüssel, als JSON",
    "Nose": "Nase",
    "Regions": "Regionen",
    "Report": "Bericht",
    "Resolution": "Auflösung",
    "Rows per second in the file, or frames per second of its timecodes; 0 takes what the file "
    "says, or 60": (
        "Zeilen pro Sekunde in der Datei oder Einzelbilder pro Sekunde ihrer Timecodes; 0 nimmt, "
        "was die Datei angibt, sonst 60"
    ),
    "Scan": "Scan",
    "Seed": "Startwert",
    "Shape": "Form",
    "Show only the expressions whose names contain this; empty for all": (
        "Nur die Ausdrücke zeigen, deren Namen dies enthalten; leer für alle"
    ),
    "Shape Keys": "Formschlüssel",
    "Sliders": "Regler",
    "Smoothing": "Glättung",
    "Standard deviation, in frames, of a Gaussian average over time; 0 is none": (
        "Standardabweichung, in Einzelbildern, einer zeitlichen Gauß-Mittelung; 0 ist keine"
    ),
    "Start": "Anfang",
    "Start Frame": "Startbild",
    "Strength": "Stärke",
    "Such as mouthSmileLeft=1, mouthSmileRight=1; all other expressions are 0": (
        "Etwa mouthSmileLeft=1, mouthSmileRight=1; alle anderen Ausdrücke sind 0"
    ),
    "Sculpt Surface": "Skulptur-Oberfläche",
    "Surface": "Oberfläche",
    "Take the last error out of the panel": "Den letzten Fehler aus dem Panel nehmen",
    "The CSV file": "Die CSV-Datei",
    "The face without its outer rim: the fewest vertices": (
        "Das Gesicht ohne seinen äußeren Rand: die wenigsten Vertices"
    ),
    "The face part: quads and UVs, ready for expressions": (
        "Der Gesichtsteil: Vierecke und UVs, bereit für Ausdrücke"
    ),
    "The face's codes, as JSON": "Die Codes des Gesichts, als JSON",
    "The lips and what surrounds them": "Die Lippen und ihre Umgebung",
    "Applied": "Angewendet",
    "What was applied to it, as JSON": "Was darauf angewendet wurde, als JSON",
    "The mesh's sliders, as JSON": "Die Regler des Meshs, als JSON",
    "The network's own surface, as even quads of the given resolution, for sculpting": (
        "Die eigene Oberfläche des Netzwerks, als gleichmäßige Vierecke der gegebenen Auflösung, "
        "zum Modellieren"
    ),
    "The network's own surface, as triangles of the given resolution": (
        "Die eigene Oberfläche des Netzwerks, als Dreiecke der gegebenen Auflösung"
    ),
    "The nose, from its root to the nostrils": "Die Nase, von der Wurzel bis zu den Nasenflügeln",
    "The same seed gives the same face": "Der gleiche Startwert ergibt das gleiche Gesicht",
    "The shape keys' sliders, as JSON": "Die Regler der Formschlüssel, als JSON",
    "The whole head with eyes and mouth: quads and UVs, ready for expressions": (
        "Der ganze Kopf mit Augen und Mund: Vierecke und UVs, bereit für Ausdrücke"
    ),
    "Tolerance": "Toleranz",
    "Untouched": "Unverändert",
    "Values": "Werte",
    "Weight": "Gewicht",
    "What is mixed": "Was gemischt wird",
    "What the face's mesh is made of": "Woraus das Mesh des Gesichts besteht",
    "Such as noseLength=2, jawWidth=-1, from -5 to 5; all other sliders stay": (
        "Etwa noseLength=2, jawWidth=-1, von -5 bis 5; alle anderen Regler bleiben"
    ),
    "Which face it is; its mesh carries the same": (
        "Welches Gesicht es ist; sein Netz trägt dasselbe"
    ),
    "Whose mesh it is; the face carries the same": (
        "Wessen Netz es ist; das Gesicht trägt dasselbe"
    ),
    "What a face of a gallery was like when it was hung up": (
        "Wie ein Gesicht einer Galerie war, als es aufgehängt wurde"
    ),
    "Where Mark Landmarks has put it, in the parent's space": (
        "Wohin „Landmarken setzen“ sie gesetzt hat, im Raum des Elternobjekts"
    ),
    "Where the other face is mixed in, Shift-click for several; none: everywhere": (
        "Wo das andere Gesicht eingemischt wird, Umschalt-Klick für mehrere; keine: überall"
    ),
    "Which landmark of its parent this marks": (
        "Welche Landmarke seines Elternobjekts dies markiert"
    ),
    "Worker's Python": "Python des Workers",
}

#: Descriptions of operators.
_TOOLTIPS = {
    "Add the expressions to the active face as shape keys, or update those added before. Your own "
    "shape keys, and all values, drivers and keyframes stay as they are; what you sculpted on ours "
    "is computed anew": (
        "Dem aktiven Gesicht die Ausdrücke als Formschlüssel hinzufügen oder früher hinzugefügte "
        "aktualisieren. Eigene Formschlüssel sowie alle Werte, Treiber und Schlüsselbilder "
        "bleiben, wie sie sind; was auf unseren modelliert wurde, wird neu berechnet"
    ),
    "Cancel what ImFace is doing, which Esc does too, or what waits in line": (
        "Abbrechen, was ImFace gerade tut, wie es auch Esc bewirkt, oder was in der Reihe wartet"
    ),
    "Colour fitted faces in this viewport by their distance to the scan, or stop doing so": (
        "Angepasste Gesichter in diesem Ansichtsfenster nach ihrem Abstand zum Scan einfärben oder "
        "damit aufhören"
    ),
    "Compute the network's own surface along the active face's animation, and add in-between "
    "shape keys where the mix of its expressions is off. Baking again replaces those within its "
    "frames": (
        "Die eigene Oberfläche des Netzwerks entlang der Animation des aktiven Gesichts berechnen "
        "und Zwischenformen als Formschlüssel hinzufügen, wo die Mischung seiner Ausdrücke "
        "abweicht. Erneutes Backen ersetzt die in seinen Einzelbildern"
    ),
    "Copy the active face's codes to the clipboard, for Paste Face in this Blender or another": (
        "Die Codes des aktiven Gesichts für „Gesicht einfügen“ in diesem oder einem anderen "
        "Blender in die Zwischenablage kopieren"
    ),
    "Copy the last error, with all that is known about it, to the clipboard": (
        "Den letzten Fehler mit allem, was darüber bekannt ist, in die Zwischenablage kopieren"
    ),
    "Delete a shape preset; faces stay as they are": (
        "Eine Formvorgabe löschen; Gesichter bleiben, wie sie sind"
    ),
    "Delete what was unpacked and installed for the worker; the next job unpacks it again": (
        "Löschen, was für den Worker entpackt und installiert wurde; die nächste Berechnung "
        "entpackt es wieder"
    ),
    "Download PyTorch for an NVIDIA GPU (about 3 GB, unpacked 6 GB) from pytorch.org, test it, and "
    "compute faces with it from then on": (
        "PyTorch für eine NVIDIA-GPU (etwa 3 GB, entpackt 6 GB) von pytorch.org herunterladen, "
        "testen und von da an Gesichter damit berechnen"
    ),
    "End the worker and give its memory back; the next job starts it again": (
        "Den Worker beenden und seinen Speicher freigeben; die nächste Berechnung startet ihn "
        "wieder"
    ),
    "Get the active face's sliders ready": "Die Regler des aktiven Gesichts bereit machen",
    "Give the active face a shape key that turns it into the other selected face": (
        "Dem aktiven Gesicht einen Formschlüssel geben, der es in das andere ausgewählte Gesicht "
        "verwandelt"
    ),
    "Import a scan file and make a face that matches it; the scan is imported as it is": (
        "Eine Scan-Datei importieren und ein Gesicht erstellen, das ihr entspricht; der Scan wird "
        "importiert, wie er ist"
    ),
    "Keyframe all expressions of the active face at once: the given values, and 0 for the rest": (
        "Schlüsselbilder für alle Ausdrücke des aktiven Gesichts zugleich einfügen: die "
        "angegebenen Werte und 0 für die übrigen"
    ),
    "Keyframe the active face's expressions from a CSV file: Live Link Face, or a header of ARKit "
    "names. Importing again replaces what was imported within the new take's frames; earlier "
    "keyframes outside them and your own stay": (
        "Schlüsselbilder für die Ausdrücke des aktiven Gesichts aus einer CSV-Datei einfügen: Live "
        "Link Face oder eine Kopfzeile mit ARKit-Namen. Erneutes Importieren ersetzt, was "
        "innerhalb der Einzelbilder der neuen Aufnahme importiert war; frühere Schlüsselbilder "
        "außerhalb davon und eigene bleiben"
    ),
    "Give the active face a shape key that mixes the other selected ones into it as chosen above: "
    "its value is the weight, follows at once and takes keyframes": (
        "Dem aktiven Gesicht einen Formschlüssel geben, der die anderen ausgewählten so einmischt, "
        "wie oben gewählt: Sein Wert ist das Gewicht, wirkt sofort und lässt sich animieren"
    ),
    "Make a face between the active one and the mean of the other selected ones, beside it": (
        "Ein Gesicht zwischen dem aktiven und dem Mittel der anderen ausgewählten daneben erstellen"
    ),
    "Make a face of a file of codes, at the 3D cursor": (
        "Aus einer Datei mit Codes ein Gesicht am 3D-Cursor erstellen"
    ),
    "Make a face of the codes on the clipboard, at the 3D cursor": (
        "Aus den Codes in der Zwischenablage ein Gesicht am 3D-Cursor erstellen"
    ),
    "Make a face that matches the active scan, in the scan's place; the scan stays as it is. It "
    "may lie anyhow and be in any unit, and needs no landmarks; it uses those that it has": (
        "Ein Gesicht erstellen, das dem aktiven Scan entspricht, an dessen Ort; der Scan bleibt, "
        "wie er ist. Lage und Einheit sind beliebig, Landmarken sind nicht nötig; vorhandene "
        "werden verwendet"
    ),
    "End the search for a scan's face here, and keep what it has found": (
        "Die Suche nach dem Gesicht eines Scans hier beenden und behalten, was sie gefunden hat"
    ),
    "Set some of the active face's sliders, for scripts": (
        "Einige Regler des aktiven Gesichts setzen, für Skripte"
    ),
    "Keep a random gallery's active face, in the gallery's middle, and delete the untouched": (
        "Das aktive Gesicht einer Zufallsgalerie in deren Mitte behalten und die unveränderten "
        "löschen"
    ),
    "Make nine random faces around the 3D cursor, of this seed and the next, to choose from": (
        "Neun zufällige Gesichter um den 3D-Cursor zur Auswahl erzeugen, aus diesem und den "
        "folgenden Startwerten"
    ),
    "Minutes without a job after which the worker ends; 0: it stays": (
        "Minuten ohne Berechnung, nach denen der Worker endet; 0: Er bleibt"
    ),
    "Library": "Bibliothek",
    "Make a random face at the 3D cursor; the same seed makes the same face": (
        "Ein zufälliges Gesicht am 3D-Cursor erstellen; der gleiche Startwert ergibt das gleiche "
        "Gesicht"
    ),
    "Make the active face's person with a neutral expression, beside the active face": (
        "Die Person des aktiven Gesichts mit neutralem Ausdruck erstellen, neben dem aktiven "
        "Gesicht"
    ),
    "Only where Fit Scan misses the face: add five empties to the active scan, as seen from this "
    "view, and drag them onto eyes, nose and mouth. Those that exist stay where they are": (
        "Nur wo „An Scan anpassen“ das Gesicht verfehlt: dem aktiven Scan, wie er in dieser "
        "Ansicht zu sehen ist, fünf Leerobjekte hinzufügen, die auf Augen, Nase und Mund zu ziehen "
        "sind. Vorhandene bleiben, wo sie sind"
    ),
    "Remove the in-between shapes of Bake Animation from the active face": (
        "Die Zwischenformen von „Animation backen“ vom aktiven Gesicht entfernen"
    ),
    "Replace the preview that the sliders show by the exact surface of the active face": (
        "Die Vorschau, die die Regler zeigen, durch die genaue Oberfläche des aktiven Gesichts "
        "ersetzen"
    ),
    "Save where the active face's sliders stand, to apply that to other faces": (
        "Speichern, wo die Regler des aktiven Gesichts stehen, um das auf andere Gesichter "
        "anzuwenden"
    ),
    "Set all expressions of the active face to 0; keyframes and your own shape keys stay": (
        "Alle Ausdrücke des aktiven Gesichts auf 0 setzen; Schlüsselbilder und eigene "
        "Formschlüssel bleiben"
    ),
    "Set all unlocked sliders to 0: the face as it was made": (
        "Alle nicht gesperrten Regler auf 0 setzen: das Gesicht, wie es erstellt wurde"
    ),
    "Set all unlocked sliders to random values that belong together as people's do": (
        "Alle nicht gesperrten Regler auf zufällige Werte setzen, die zusammengehören wie die "
        "eines Menschen"
    ),
    "Set the active face's unlocked sliders to a preset, or move them towards it": (
        "Die nicht gesperrten Regler des aktiven Gesichts auf eine Vorgabe setzen oder zu ihr hin "
        "bewegen"
    ),
    "Start the worker and see that it has PyTorch and computes a known face rightly": (
        "Den Worker starten und prüfen, ob er PyTorch hat und ein bekanntes Gesicht richtig "
        "berechnet"
    ),
    "Name of the asset library; empty for the first one": (
        "Name der Asset-Bibliothek; leer für die erste"
    ),
    "Write the active face, with its shape keys and a picture, for the asset browser": (
        "Das aktive Gesicht mit seinen Formschlüsseln und einem Bild für den Asset-Browser "
        "schreiben"
    ),
    "Write the active face's codes to a small file, which Load Face and the command line read": (
        "Die Codes des aktiven Gesichts in eine kleine Datei schreiben, die „Gesicht laden“ und "
        "die Befehlszeile lesen"
    ),
}

#: Sliders of a face's shape: their names, what each measures, and the words about them.
_SLIDERS = {
    "In standard deviations among people: 0 is the face as it was made, 2 is rare": (
        "In Standardabweichungen unter Menschen: 0 ist das Gesicht, wie es erstellt wurde, 2 ist "
        "selten"
    ),
    "Lock {slider}": "{slider} sperren",
    "Random and Reset leave {slider} as it is": (
        "„Zufällige Form“ und „Form zurücksetzen“ ändern hier nichts: {slider}"
    ),
    "{slider} {change:+.1f} mm": "{slider} {change:+.1f} mm",
    "Axes": "Achsen",
    **{f"Axis {number:02}": f"Achse {number:02}" for number in range(1, 11)},
    **{
        f"Number {number} of the ways in which people differ most": (
            f"Nummer {number} der Arten, in denen Menschen sich am meisten unterscheiden"
        )
        for number in range(1, 11)
    },
    "Angle to angle of the jaw": "Von Kieferwinkel zu Kieferwinkel",
    "Bridge before the inner corners of the eyes": "Nasenrücken vor den inneren Augenwinkeln",
    "Brow Ridge": "Brauenwulst",
    "Brows before the outer corners of the eyes": "Brauen vor den äußeren Augenwinkeln",
    "Brows to the top of the forehead": "Von den Brauen zum oberen Rand der Stirn",
    "Cheekbone to cheekbone": "Von Wangenknochen zu Wangenknochen",
    "Cheekbones": "Wangenknochen",
    "Cheekbones before the corners of eyes and mouth": "Wangenknochen vor Augen- und Mundwinkeln",
    "Chin Forward": "Kinntiefe",
    "Chin Height": "Kinnhöhe",
    "Chin before the corners of the mouth": "Kinn vor den Mundwinkeln",
    "Corner to corner of the mouth": "Von Mundwinkel zu Mundwinkel",
    "Eye Size": "Augengröße",
    "Eye Spacing": "Augenabstand",
    "Eye to eye": "Von Auge zu Auge",
    "Face Height": "Gesichtshöhe",
    "Face Width": "Gesichtsbreite",
    "Forehead Forward": "Stirntiefe",
    "Forehead Height": "Stirnhöhe",
    "Forehead before the root of the nose": "Stirn vor der Nasenwurzel",
    "Height of both lips": "Höhe beider Lippen",
    "Jaw Width": "Kieferbreite",
    "Lip Fullness": "Lippenfülle",
    "Lower lip to the bottom of the chin": "Von der Unterlippe zum unteren Rand des Kinns",
    "Mouth Width": "Mundbreite",
    "Nose Bridge": "Nasenrücken",
    "Nose Length": "Nasenlänge",
    "Nose Width": "Nasenbreite",
    "Nostril to nostril": "Von Nasenflügel zu Nasenflügel",
    "Root of the nose to chin": "Von der Nasenwurzel zum Kinn",
    "Root to base of the nose": "Von der Wurzel zur Basis der Nase",
    "Width and opening of an eye": "Breite und Öffnung eines Auges",
}

#: What sliders are called below their region's name.
WORDS = {
    "Bridge": "Rücken",
    "Cheekbones": "Wangen",
    "Forward": "Nach vorn",
    "Height": "Höhe",
    "Length": "Länge",
    "Size": "Größe",
    "Spacing": "Abstand",
    "Width": "Breite",
}

#: What goes on, and what has been done.
_REPORTS = {
    "Added '{key}' to '{name}'": "„{key}“ zu „{name}“ hinzugefügt",
    "Baking the animation": "Animation wird gebacken",
    "Blended '{name}'": "„{name}“ überblendet",
    "Blending faces": "Gesichter werden überblendet",
    "Blue 0 mm, green 1, yellow 2, red 3 and more; grey: not in the scan": (
        "Blau 0 mm, grün 1, gelb 2, rot 3 und mehr; grau: nicht im Scan"
    ),
    "Cancelled: {job}": "Abgebrochen: {job}",
    "Computing expressions": "Ausdrücke werden berechnet",
    "Copied '{name}'": "„{name}“ kopiert",
    "Drag the landmarks onto the face (snapping to faces helps), then press Fit Face to Scan. "
    "Right is the person's own": (
        "Die Landmarken auf das Gesicht ziehen (Einrasten an Flächen hilft), dann „Gesicht an Scan "
        "anpassen“ drücken. Rechts ist das Rechts der Person"
    ),
    "Face model {name}": "Gesichtsmodell {name}",
    "Fitted '{name}': {quality}": "„{name}“ angepasst: {quality}",
    "Fitting a scan": "Gesicht wird an Scan angepasst",
    "Generated '{name}'": "„{name}“ erzeugt",
    "Generating a face": "Gesicht wird erzeugt",
    "Generating nine faces": "Neun Gesichter werden erzeugt",
    "Kept '{name}'": "„{name}“ behalten",
    "Runtime: {megabytes:.0f} MB with PyTorch for the GPU, in use": (
        "Laufzeitumgebung: {megabytes:.0f} MB mit PyTorch für die GPU, in Verwendung"
    ),
    "OK replaces the preset of this name": "OK ersetzt die Vorgabe dieses Namens",
    "Saved the preset '{name}'": "Die Vorgabe „{name}“ ist gespeichert",
    "Select a face, then press Keep This Face": (
        "Ein Gesicht auswählen, dann „Dieses Gesicht behalten“ drücken"
    ),
    "Import Scan": "Scan importieren",
    "Imported '{name}'": "„{name}“ importiert",
    "In {rows} rows no face was seen: bridged": (
        "In {rows} Zeilen war kein Gesicht zu sehen: überbrückt"
    ),
    "Keyframed {count} expressions at frame {frame}": (
        "Schlüsselbilder für {count} Ausdrücke bei Einzelbild {frame} eingefügt"
    ),
    "Without a keyframe, as they are locked: {names}": (
        "Ohne Schlüsselbild, weil gesperrt: {names}"
    ),
    "Without a keyframe, as drivers move them: {names}": (
        "Ohne Schlüsselbild, weil Treiber sie bewegen: {names}"
    ),
    "Without a keyframe, as they have samples: {names}": (
        "Ohne Schlüsselbild, weil abgetastet: {names}"
    ),
    "Keyframed {count} expressions of '{name}', frames {start} to {last}, from {source}": (
        "Schlüsselbilder für {count} Ausdrücke von „{name}“ eingefügt, Einzelbilder {start} bis "
        "{last}, aus {source}"
    ),
    "Made '{name}'": "„{name}“ erstellt",
    "Making a face of its codes": "Gesicht wird aus seinen Codes erstellt",
    "Preparing the sliders": "Regler werden vorbereitet",
    "PyTorch {torch} on {device}, Python {python}": "PyTorch {torch} auf {device}, Python {python}",
    "Ready: return to Object Mode to see it": "Fertig: zum Ansehen in den Objektmodus zurückkehren",
    "Ready: return to the scene '{name}' to see it": (
        "Fertig: zum Ansehen in die Szene „{name}“ zurückkehren"
    ),
    "Refining the shape": "Form wird verfeinert",
    "Removed {count} in-between shapes": "{count} Zwischenformen entfernt",
    "Runtime: in the zip, unpacked when first used": (
        "Laufzeitumgebung: im Zip, wird bei der ersten Verwendung entpackt"
    ),
    "Runtime: none in this zip": "Laufzeitumgebung: keine in diesem Zip",
    "Runtime: {megabytes:.0f} MB unpacked, in use": (
        "Laufzeitumgebung: {megabytes:.0f} MB entpackt, in Verwendung"
    ),
    "Runtime: {megabytes:.0f} MB unpacked, not used: another Python is set": (
        "Laufzeitumgebung: {megabytes:.0f} MB entpackt, nicht verwendet: ein anderes Python ist "
        "eingestellt"
    ),
    "Starting": "Starten",
    "Starting the worker": "Worker wird gestartet",
    "Taking the expression off": "Ausdruck wird entfernt",
    "Test Worker names the model": "„Worker testen“ nennt das Modell",
    "Testing the worker": "Worker wird getestet",
    "The face has no {names}": "Das Gesicht hat nicht: {names}",
    "The file has no {names}": "Die Datei hat nicht: {names}",
    "The material's colours are back": "Die Farben des Materials sind zurück",
    "The model does not know {names}": "Das Modell kennt nicht: {names}",
    "The scan's colours were left out: each of its materials has to show one picture, whose file "
    "is there": (
        "Die Farben des Scans blieben weg: jedes seiner Materialien muss ein einziges Bild zeigen, "
        "dessen Datei da ist"
    ),
    "The shape is a preview: {reason}": "Die Form ist eine Vorschau: {reason}",
    "The sliders are being made ready": "Die Regler werden vorbereitet",
    "The sliders of '{name}' are ready": "Die Regler von „{name}“ sind bereit",
    "The worker has not started yet": "Der Worker ist noch nicht gestartet",
    "Unpacking the runtime, once": "Laufzeitumgebung wird entpackt, einmalig",
    "Unpacking {name} ({number} of {count}), once": (
        "{name} wird entpackt ({number} von {count}), einmalig"
    ),
    "Wrote {file}": "{file} geschrieben",
    "Your own keyframes among them stay: {count}": (
        "Eigene Schlüsselbilder dazwischen bleiben: {count}"
    ),
    "'{name}' is exact": "„{name}“ ist genau",
    "'{scan}' has all its landmarks": "„{scan}“ hat alle Landmarken",
    "poor fit: check that nothing hides eyes, nose and mouth": (
        "schlechte Anpassung: prüfen, ob etwas Augen, Nase oder Mund verdeckt"
    ),
    "the scan shows another face too: to fit it, cut this one away or mark its landmarks": (
        "der Scan zeigt noch ein Gesicht: um es anzupassen, dieses wegschneiden oder seine "
        "Landmarken setzen"
    ),
    "what the scan does not show of the face is a guess": (
        "was der Scan vom Gesicht nicht zeigt, ist geraten"
    ),
    "the landmarks were left out, as without them the face matches plainly better": (
        "die Landmarken wurden weggelassen, weil das Gesicht ohne sie deutlich besser passt"
    ),
    "{count} expressions on '{name}'": "{count} Ausdrücke auf „{name}“",
    "{count} in-between shapes on '{name}', frames {start} to {end}: at most {before:.2f} mm off "
    "before, {after:.2f} mm now, over {measured} different mixes": (
        "{count} Zwischenformen auf „{name}“, Einzelbilder {start} bis {end}: Abweichung vorher "
        "höchstens {before:.2f} mm, jetzt {after:.2f} mm, über {measured} verschiedene Mischungen"
    ),
    "Beside frames that are not baked it jumps by {edge:.2f} mm": (
        "Neben nicht gebackenen Einzelbildern springt es um {edge:.2f} mm"
    ),
    "About {minutes:.0f} min left": "Noch etwa {minutes:.0f} min",
    "About {seconds:.0f} s left": "Noch etwa {seconds:.0f} s",
    "{mean:.2f} mm mean, {within:.0f} % within 2 mm, {unseen:.0f} % of the face not seen": (
        "{mean:.2f} mm im Mittel, {within:.0f} % innerhalb von 2 mm, {unseen:.0f} % des Gesichts "
        "nicht gesehen"
    ),
    "{rows} rows": "{rows} Zeilen",
    "{rows} rows at {fps:g} per second": "{rows} Zeilen mit {fps:g} pro Sekunde",
    "{rows} rows at {fps:g} per second (assumed)": (
        "{rows} Zeilen mit {fps:g} pro Sekunde (angenommen)"
    ),
    (
        "{worker}, {count} expressions; a known face came out right to {off:.5f} mm, at "
        "{speed:.0f} thousand points a second"
    ): (
        "{worker}, {count} Ausdrücke; ein bekanntes Gesicht stimmte auf {off:.5f} mm, bei "
        "{speed:.0f} Tausend Punkten pro Sekunde"
    ),
}

#: Why something cannot be done.
_REASONS = {
    "Allow Online Access in Preferences > System first: about 3 GB are downloaded": (
        "Zuerst in Benutzereinstellungen > System den Online-Zugriff erlauben: Etwa 3 GB werden "
        "heruntergeladen"
    ),
    "Another Python is set: it computes on a GPU if its PyTorch has CUDA": (
        "Ein anderes Python ist eingestellt: Es rechnet auf einer GPU, wenn sein PyTorch CUDA hat"
    ),
    "ImFace is busy ({job})": "ImFace ist beschäftigt ({job})",
    "ImFace is busy ({job}). Wait, or cancel it.": (
        "ImFace ist beschäftigt ({job}). Warten oder abbrechen."
    ),
    "ImFace is not doing anything": "ImFace tut gerade nichts",
    "It is installed already. Remove Runtime takes it away": (
        "Es ist schon installiert. „Laufzeitumgebung entfernen“ nimmt es wieder weg"
    ),
    "No face has been found yet": "Noch ist kein Gesicht gefunden",
    "No object is active. Select a mesh object": (
        "Kein Objekt ist aktiv. Ein Mesh-Objekt auswählen"
    ),
    "Nothing has been unpacked": "Es wurde nichts entpackt",
    "Only the zip that brings PyTorch can install it for a GPU": (
        "Nur das Zip, das PyTorch mitbringt, kann es für eine GPU installieren"
    ),
    "Press Edit Face Shape first": "Zuerst „Gesichtsform bearbeiten“ drücken",
    "Select a face of a Random Gallery": "Ein Gesicht einer Zufallsgalerie auswählen",
    "Select a face made by Fit Scan": "Ein mit „An Scan anpassen“ erstelltes Gesicht auswählen",
    "Select two faces or more: the active one and others": (
        "Zwei oder mehr Gesichter auswählen: das aktive und andere"
    ),
    "Select two faces: the active one and one other": (
        "Zwei Gesichter auswählen: das aktive und ein anderes"
    ),
    "Blender has no clipboard without a window. Use imface.export_codes": (
        "Ohne Fenster hat Blender keine Zwischenablage. imface.export_codes verwenden"
    ),
    "Switch to Object Mode first": "Zuerst in den Objektmodus wechseln",
    "The NLA strip in tweak mode plays at other frames than those of its action. Leave tweak mode "
    "first": (
        "Der NLA-Streifen im Anpassungsmodus spielt zu anderen Einzelbildern als denen seiner "
        "Aktion. Zuerst den Anpassungsmodus verlassen"
    ),
    "The scene stretches time. Set Old and New of Time Stretching to the same number, and set them "
    "back afterwards": (
        "Die Szene streckt die Zeit. „Old“ und „New“ von „Time Stretching“ auf dieselbe Zahl "
        "setzen und danach zurücksetzen"
    ),
    "The worker holds {memory:.1f} GB of memory": "Der Worker belegt {memory:.1f} GB Speicher",
    "The worker is not running": "Der Worker läuft nicht",
    "There was no error": "Es gab keinen Fehler",
    "Use this in a 3D viewport": "In einem 3D-Ansichtsfenster verwenden",
    "'{name}' has no baked animation": "„{name}“ hat keine gebackene Animation",
    "'{name}' has no expressions yet. Use Add Expressions first": (
        "„{name}“ hat noch keine Ausdrücke. Zuerst „Ausdrücke hinzufügen“ verwenden"
    ),
    "'{name}' is a raw surface. Make the face again with the mesh Head or Face": (
        "„{name}“ ist eine rohe Oberfläche. Das Gesicht mit dem Mesh „Kopf“ oder „Gesicht“ neu "
        "erstellen"
    ),
    "'{name}' is exact already": "„{name}“ ist schon genau",
    "'{name}' is hidden. Show it first": "„{name}“ ist ausgeblendet. Zuerst einblenden",
    "'{name}' has the mesh of another face. Undo that, or delete it": (
        "„{name}“ hat das Netz eines anderen Gesichts. Das rückgängig machen oder es löschen"
    ),
    "'{name}' is active, but not selected. Shift-click the selected face that is to be active": (
        "„{name}“ ist aktiv, aber nicht ausgewählt. Das ausgewählte Gesicht, das aktiv sein soll, "
        "mit Umschalt anklicken"
    ),
    "The vertices of '{name}' are in another order than its codes give, as after Separate and "
    "Join. Undo that, or make the face again.": (
        "Die Punkte von „{name}“ stehen in einer anderen Reihenfolge, als seine Codes ergeben, wie "
        "nach Trennen und Zusammenfügen. Das rückgängig machen oder das Gesicht neu erstellen."
    ),
    "'{name}' has {current} vertices, but its codes give {count}. Sliders and expressions need "
    "the mesh as it was made: undo the edit, or make the face again": (
        "„{name}“ hat {current} Punkte, aber seine Codes ergeben {count}. Regler und Ausdrücke "
        "brauchen das Mesh, wie es erstellt wurde: die Bearbeitung rückgängig machen oder das "
        "Gesicht neu erstellen"
    ),
    "The Basis of '{name}' was deleted, and its expression '{key}' is now in its place. "
    "Undo that, or make the face again.": (
        "Die Basis von „{name}“ wurde gelöscht, und an ihrer Stelle ist jetzt sein Ausdruck "
        "„{key}“. Das rückgängig machen oder das Gesicht neu erstellen."
    ),
    "'{name}' is a library override, and files do not store changes to its mesh. Make it local "
    "first": (
        "„{name}“ ist eine Bibliotheksüberschreibung, und Dateien speichern keine Änderungen an "
        "ihrem Mesh. Zuerst lokal machen"
    ),
    "'{name}' is linked from another file. Make it local first": (
        "„{name}“ ist aus einer anderen Datei verknüpft. Zuerst lokal machen"
    ),
    "'{name}' is no ImFace face. Select one made by Generate, Fit Scan or Blend": (
        "„{name}“ ist kein ImFace-Gesicht. Eines auswählen, das mit „Erzeugen“, „An Scan anpassen“ "
        "oder „Überblendung“ erstellt wurde"
    ),
    "'{name}' is the face fitted to a scan that is gone or renamed. Select the scan, or import it "
    "again": (
        "„{name}“ ist das Gesicht zu einem Scan, der nicht mehr da oder umbenannt ist. Den Scan "
        "auswählen oder noch einmal importieren"
    ),
    "'{name}' is no mesh. Select a mesh object": (
        "„{name}“ ist kein Mesh. Ein Mesh-Objekt auswählen"
    ),
    "{reason}.": "{reason}.",
}

#: What has gone wrong.
_ERRORS = {
    "Error": "Fehler",
    "There is no slider '{name}'. Check the spelling.": (
        "Es gibt keinen Regler „{name}“. Die Schreibweise prüfen."
    ),
    "A slider's value is not a number. Choose -5 to 5.": (
        "Der Wert eines Reglers ist keine Zahl. -5 bis 5 wählen."
    ),
    "Frames {start} to {end} are {count}. Bake 1 to {most} frames at once.": (
        "Einzelbilder {start} bis {end} sind {count}. 1 bis {most} Einzelbilder auf einmal backen."
    ),
    "The keyframes of '{key}' are locked. Unlock its channel and bake again.": (
        "Die Schlüsselbilder von „{key}“ sind gesperrt. Den Kanal entsperren und erneut backen."
    ),
    "'{key}' has samples instead of keyframes. Use Samples to Keys in the Graph Editor's menu "
    "Channel, and bake again.": (
        "„{key}“ hat Abtastwerte statt Schlüsselbilder. Im Grapheneditor im Menü Kanal die "
        "Abtastwerte in Schlüsselbilder umwandeln und erneut backen."
    ),
    "An NLA track of '{name}' plays solo, and its action not at all. Press the track's star and "
    "bake again.": (
        "Eine NLA-Spur von „{name}“ spielt allein, und ihre Aktion gar nicht. Den Stern der Spur "
        "drücken und erneut backen."
    ),
    "The action of '{name}' blends with its NLA strips, and so would its bake. Set its Blending to "
    "Replace or Add and its Influence to 1, or push it down first and then set them.": (
        "Die Aktion von „{name}“ mischt sich mit ihren NLA-Streifen, und so täte es auch das "
        "Gebackene. Ihre Überblendung auf Ersetzen oder Addieren und ihren Einfluss auf 1 setzen, "
        "oder die Aktion zuerst nach unten schieben und beides dann setzen."
    ),
    "Capture Rate, Strength or Smoothing is not a number. Choose 0 or more.": (
        "Aufnahmerate, Stärke oder Glättung ist keine Zahl. 0 oder mehr wählen."
    ),
    "'{name}' and '{other}' follow the same bake in one action. Give one of them an action of its "
    "own, or remove its bake, and bake again.": (
        "„{name}“ und „{other}“ folgen derselben gebackenen Animation in einer Aktion. Einem der "
        "beiden eine eigene Aktion geben, oder seine gebackene Animation entfernen, und erneut "
        "backen."
    ),
    "An NLA strip of '{name}' plays a bake within frames {start} to {end}. Use Remove Bake first, "
    "or bake other frames.": (
        "Ein NLA-Streifen von „{name}“ spielt eine gebackene Animation in den Einzelbildern "
        "{start} bis {end}. Zuerst „Backen entfernen“ verwenden oder andere Einzelbilder "
        "backen."
    ),
    "Landmarks of '{scan}' have not been moved yet: {landmarks}. Drag them onto the face, or "
    "delete all five.": (
        "Landmarken von „{scan}“ wurden noch nicht bewegt: {landmarks}. Sie auf das Gesicht ziehen "
        "oder alle fünf löschen."
    ),
    "No file is named. Choose one.": "Keine Datei ist angegeben. Eine wählen.",
    "Something unexpected went wrong and nothing was finished. Copy the details from the panel "
    "and report them.": (
        "Etwas Unerwartetes ist schiefgegangen, und nichts wurde abgeschlossen. Die Details aus "
        "dem Panel kopieren und melden."
    ),
    "The folder {path} cannot be made. Allow that in your file manager, or make it yourself.": (
        "Der Ordner {path} kann nicht angelegt werden. Das im Dateimanager erlauben oder ihn "
        "selbst anlegen."
    ),
    "The gallery is linked from another file. Make it local first.": (
        "Die Galerie ist aus einer anderen Datei verknüpft. Sie zuerst lokal machen."
    ),
    "The preset '{name}' is damaged. Remove it, or save it again.": (
        "Die Vorgabe „{name}“ ist beschädigt. Sie entfernen oder neu speichern."
    ),
    "The preset has no name. Give it one.": "Die Vorgabe hat keinen Namen. Ihr einen geben.",
    (
        "There is no asset library '{name}'. Choose another, or add it in the preferences, under "
        "File Paths."
    ): (
        "Es gibt keine Asset-Bibliothek „{name}“. Eine andere wählen oder sie in den Einstellungen "
        "unter „Dateipfade“ hinzufügen."
    ),
    "Blender has no asset library. Add one in the preferences, under File Paths.": (
        "Blender hat keine Asset-Bibliothek. In den Einstellungen unter „Dateipfade“ eine "
        "hinzufügen."
    ),
    "The action '{name}' is linked from another file. Make it local first.": (
        "Die Aktion „{name}“ ist aus einer anderen Datei verknüpft. Zuerst lokal machen."
    ),
    "The add-on's backend folder is missing. Install the add-on again.": (
        "Der Ordner „backend“ des Add-ons fehlt. Das Add-on neu installieren."
    ),
    "The codes stored on '{name}' are damaged. Generate or fit the face again.": (
        "Die in „{name}“ gespeicherten Codes sind beschädigt. Das Gesicht neu erzeugen oder "
        "anpassen."
    ),
    "The face has no expression '{name}'. Add it with Add Expressions.": (
        "Das Gesicht hat keinen Ausdruck „{name}“. Ihn mit „Ausdrücke hinzufügen“ hinzufügen."
    ),
    "The object was deleted while the job ran. Nothing was changed.": (
        "Das Objekt wurde während der Berechnung gelöscht. Nichts wurde geändert."
    ),
    "The scene was deleted while the job ran. Nothing was changed.": (
        "Die Szene wurde während der Berechnung gelöscht. Nichts wurde geändert."
    ),
    "There is no face on the clipboard. Copy one with Copy Face.": (
        "In der Zwischenablage ist kein Gesicht. Mit „Gesicht kopieren“ eines kopieren."
    ),
    "There is no file {path}. Check the path.": "Es gibt keine Datei {path}. Den Pfad prüfen.",
    "'{name}' and '{other}' have different meshes. Make both with the mesh Head, or both with "
    "Face.": (
        "„{name}“ und „{other}“ haben verschiedene Meshes. Beide mit dem Mesh „Kopf“ oder beide "
        "mit „Gesicht“ erstellen."
    ),
    "'{name}' has the rotation mode Axis Angle, which cannot take a head's rotation. Set the mode "
    "to XYZ Euler, or leave Head Rotation off.": (
        "„{name}“ hat den Rotationsmodus „Axis Angle“, der keine Kopfrotation aufnehmen kann. Den "
        "Modus auf „XYZ Euler“ setzen oder „Kopfrotation“ ausgeschaltet lassen."
    ),
    "'{name}' is another face by now. Nothing was changed.": (
        "„{name}“ ist inzwischen ein anderes Gesicht. Nichts wurde geändert."
    ),
    "'{name}' is not the mesh of a face. Select a face.": (
        "„{name}“ ist nicht das Mesh eines Gesichts. Ein Gesicht auswählen."
    ),
    "'{name}={text}' is no value from {low:g} to {high:g}. Write such as {name}=0.5.": (
        "„{name}={text}“ ist kein Wert von {low:g} bis {high:g}. Zum Beispiel {name}=0.5 schreiben."
    ),
    "'{scan}' has no faces. Select a mesh with at least 500 faces, or at least {points} points.": (
        "„{scan}“ hat keine Flächen. Ein Mesh mit mindestens 500 Flächen oder mindestens {points} "
        "Punkten auswählen."
    ),
    "'{scan}' is no mesh behind its geometry nodes. Add Realize Instances or Points to Vertices to "
    "them, or switch them off.": (
        "„{scan}“ ist nach seinen Geometrie-Nodes kein Mesh. In sie „Realize Instances“ oder "
        "„Points to Vertices“ einfügen oder sie ausschalten."
    ),
    "'{scan}' has the landmark {landmark} twice. Delete one.": (
        "„{scan}“ hat die Landmarke {landmark} zweimal. Eine löschen."
    ),
    "'{scan}' has vertices whose coordinates are not numbers (NaN or infinite). Delete them, or "
    "import the scan again.": (
        "„{scan}“ hat Punkte, deren Koordinaten keine Zahlen sind (NaN oder unendlich). Sie "
        "löschen oder den Scan neu importieren."
    ),
    "'{scan}' lacks landmarks: {landmarks}. Press Mark Landmarks to add what is missing, or "
    "delete the others.": (
        "„{scan}“ fehlen Landmarken: {landmarks}. „Landmarken setzen“ drücken, um die fehlenden "
        "hinzuzufügen, oder die anderen löschen."
    ),
    "There is no preset '{name}'. Save one with Save Shape Preset.": (
        "Es gibt keine Vorgabe „{name}“. Mit „Formvorgabe speichern“ eine speichern."
    ),
    "{file} cannot be imported: {reason}. Export it again.": (
        "{file} kann nicht importiert werden: {reason}. Die Datei neu exportieren."
    ),
    "{file} has no mesh in it. Choose another file.": (
        "{file} enthält kein Mesh. Eine andere Datei wählen."
    ),
    "{file} is no file of codes. Choose a {extension} file.": (
        "{file} ist keine Datei mit Codes. Eine {extension}-Datei wählen."
    ),
    "{file} is no scan file. Use OBJ, PLY, STL or GLB.": (
        "{file} ist keine Scan-Datei. OBJ, PLY, STL oder GLB verwenden."
    ),
    "{path} cannot be deleted: {reason}. Delete it in your file manager.": (
        "{path} kann nicht gelöscht werden: {reason}. Sie im Dateimanager löschen."
    ),
    "{path} cannot be read: {reason}. Choose a {extension} file.": (
        "{path} kann nicht gelesen werden: {reason}. Eine {extension}-Datei wählen."
    ),
    "{path} cannot be written: {reason}. Choose another.": (
        "{path} kann nicht geschrieben werden: {reason}. Eine andere Datei wählen."
    ),
}

#: What is wrong with a face capture.
_CAPTURE = {
    "Line {line} of '{file}' has '{text}' for {name}, which is no number. Correct it, or delete "
    "the line.": (
        "Zeile {line} von „{file}“ hat „{text}“ für {name}, was keine Zahl ist. Das berichtigen "
        "oder die Zeile löschen."
    ),
    "Line {line} of '{file}' has the timecode '{text}', which is not HH:MM:SS:FF. Correct it, or "
    "delete that column and set the capture rate.": (
        "Zeile {line} von „{file}“ hat den Timecode „{text}“, der nicht HH:MM:SS:FF ist. Ihn "
        "berichtigen oder die Spalte löschen und die Aufnahmerate einstellen."
    ),
    "Line {line} of '{file}' has {values} values, the header {columns}. Delete the line, or "
    "export the capture again.": (
        "Zeile {line} von „{file}“ hat {values} Werte, die Kopfzeile {columns}. Die Zeile löschen "
        "oder die Aufnahme neu exportieren."
    ),
    "The column '{column}' of '{file}' gives {per_second:.3g} rows per second, so it does not "
    "count seconds. Set the capture rate instead.": (
        "Die Spalte „{column}“ von „{file}“ ergibt {per_second:.3g} Zeilen pro Sekunde, zählt also "
        "keine Sekunden. Stattdessen die Aufnahmerate einstellen."
    ),
    "The first line of '{file}' names no expression that the face has. Export the capture as CSV, "
    "with commas and a header such as EyeBlinkLeft,JawOpen.": (
        "Die erste Zeile von „{file}“ nennt keinen Ausdruck, den das Gesicht hat. Die Aufnahme als "
        "CSV exportieren, mit Kommas und einer Kopfzeile wie EyeBlinkLeft,JawOpen."
    ),
    "The time runs backwards at line {line} of '{file}'. Sort the lines, or delete the time's "
    "column and set the capture rate.": (
        "Die Zeit läuft in Zeile {line} von „{file}“ rückwärts. Die Zeilen sortieren oder die "
        "Spalte der Zeit löschen und die Aufnahmerate einstellen."
    ),
    "The timecodes of '{file}' count up to frame {last}, which is no frame rate. Delete that "
    "column and set the capture rate.": (
        "Die Timecodes von „{file}“ zählen bis Einzelbild {last}, was keine Bildrate ist. Die "
        "Spalte löschen und die Aufnahmerate einstellen."
    ),
    "'{file}' has a header but no rows. Record it again.": (
        "„{file}“ hat eine Kopfzeile, aber keine Zeilen. Neu aufnehmen."
    ),
    "'{file}' has more than {most} rows, an hour at 60 per second. Cut it into shorter takes.": (
        "„{file}“ hat mehr als {most} Zeilen, eine Stunde mit 60 pro Sekunde. In kürzere Takes "
        "schneiden."
    ),
    "'{file}' has no row with a face. Record it again.": (
        "„{file}“ hat keine Zeile mit einem Gesicht. Neu aufnehmen."
    ),
    "'{file}' has the column '{column}' twice. Delete one of them.": (
        "„{file}“ hat die Spalte „{column}“ zweimal. Eine davon löschen."
    ),
    "'{file}' has {largest:g} for {name}, which is no angle in radians. Export the angles in "
    "radians, or leave Head Rotation off.": (
        "„{file}“ hat {largest:g} für {name}, was kein Winkel im Bogenmaß ist. Die Winkel im "
        "Bogenmaß exportieren, oder „Kopfrotation“ ausgeschaltet lassen."
    ),
    "'{file}' has {largest:g} for {name}; values go from 0 to 1. Export the capture with values "
    "from 0 to 1.": (
        "„{file}“ hat {largest:g} für {name}; Werte gehen von 0 bis 1. Die Aufnahme mit Werten von "
        "0 bis 1 exportieren."
    ),
    "'{file}' is larger than 512 MB. Cut it into shorter takes.": (
        "„{file}“ ist größer als 512 MB. In kürzere Takes schneiden."
    ),
    "'{file}' is no CSV text. Export the capture as CSV.": (
        "„{file}“ ist kein CSV-Text. Die Aufnahme als CSV exportieren."
    ),
    "'{file}' would last {hours:.3g} hours. Delete its column of times, and set the capture "
    "rate.": (
        "„{file}“ würde {hours:.3g} Stunden dauern. Die Spalte der Zeiten löschen und die "
        "Aufnahmerate einstellen."
    ),
    "'{path}' cannot be read ({reason}). Choose a CSV file.": (
        "„{path}“ kann nicht gelesen werden ({reason}). Eine CSV-Datei wählen."
    ),
}

#: What is wrong with the worker.
_WORKER = {
    "Downloading PyTorch for the GPU, about 3 GB": (
        "PyTorch für die GPU wird heruntergeladen, etwa 3 GB"
    ),
    "Installing PyTorch for the GPU": "PyTorch für die GPU wird installiert",
    "Looking for an NVIDIA GPU": "Eine NVIDIA-GPU wird gesucht",
    "Memory ran out in Blender. Choose a lower resolution.": (
        "Der Speicher in Blender reicht nicht. Eine geringere Auflösung wählen."
    ),
    "A job is still running. Wait until it ends, or cancel it.": (
        "Eine Berechnung läuft noch. Warten, bis sie endet, oder sie abbrechen."
    ),
    "Choose another Python in the preferences.": (
        "In den Benutzereinstellungen ein anderes Python wählen."
    ),
    "NVIDIA's driver does not tell which GPU there is. Update the driver, restart the computer and "
    "try again.": (
        "Der Treiber von NVIDIA nennt keine GPU. Den Treiber aktualisieren, den Rechner neu "
        "starten und es erneut versuchen."
    ),
    "No Python is chosen for the worker. Install the zip that brings PyTorch, or set a Python "
    "that has it in the add-on's preferences or in IMFACE_PYTHON.": (
        "Für den Worker ist kein Python gewählt. Das Zip installieren, das PyTorch mitbringt, oder "
        "in den Einstellungen des Add-ons oder in IMFACE_PYTHON ein Python angeben, das es hat."
    ),
    "Press Remove Runtime in the preferences and try again: it is then unpacked anew.": (
        "In den Benutzereinstellungen „Laufzeitumgebung entfernen“ drücken und erneut versuchen: "
        "Sie wird dann neu entpackt."
    ),
    "PyTorch for the GPU could not be downloaded ({reason}). Check the connection and the disk and "
    "try again.": (
        "PyTorch für die GPU konnte nicht heruntergeladen werden ({reason}). Verbindung und "
        "Festplatte prüfen und es erneut versuchen."
    ),
    "PyTorch for the GPU could not be installed ({reason}). Check the disk and try again.": (
        "PyTorch für die GPU konnte nicht installiert werden ({reason}). Die Festplatte prüfen "
        "und es erneut versuchen."
    ),
    "PyTorch for the GPU is installed, but finds no GPU and is not used. Update NVIDIA's driver, "
    "restart the computer and try again.": (
        "PyTorch für die GPU ist installiert, findet aber keine GPU und wird nicht verwendet. Den "
        "Treiber von NVIDIA aktualisieren, den Rechner neu starten und es erneut versuchen."
    ),
    "PyTorch for the GPU needs {needed:.0f} GB of disk while it is installed, and {free:.1f} GB "
    "are free in {folder}. Free some and try again.": (
        "PyTorch für die GPU braucht bei der Installation {needed:.0f} GB auf der Festplatte, und "
        "in {folder} sind {free:.1f} GB frei. Platz schaffen und es erneut versuchen."
    ),
    "PyTorch no longer supports a GPU as old as {name}. Stay with the processor.": (
        "PyTorch unterstützt keine so alte GPU wie {name} mehr. Beim Prozessor bleiben."
    ),
    "The add-on's list of wheels is damaged. Install the add-on again.": (
        "Die Liste der Wheels des Add-ons ist beschädigt. Das Add-on neu installieren."
    ),
    "The add-on's runtime is for Python {made_for} on {platform} and this Blender has Python "
    "{python} on {system}. Install the zip that is made for it, or set a Python that has PyTorch "
    "in the preferences.": (
        "Die Laufzeitumgebung des Add-ons ist für Python {made_for} auf {platform}, und dieses "
        "Blender hat Python {python} auf {system}. Das dafür gemachte Zip installieren oder in den "
        "Benutzereinstellungen ein Python angeben, das PyTorch hat."
    ),
    "The driver of {name} is too old: it is {driver}, and PyTorch needs {needed} or later. Update "
    "NVIDIA's driver, restart the computer and try again.": (
        "Der Treiber von {name} ist zu alt: Er ist {driver}, und PyTorch braucht {needed} oder "
        "neuer. Den Treiber von NVIDIA aktualisieren, den Rechner neu starten und es erneut "
        "versuchen."
    ),
    "The runtime could not be removed ({reason}). Close other Blenders and try again.": (
        "Die Laufzeitumgebung konnte nicht entfernt werden ({reason}). Andere Blender schließen "
        "und erneut versuchen."
    ),
    "The path to Blender's user folder is too long for Windows. Set BLENDER_USER_EXTENSIONS to a "
    "folder with a short path, restart Blender and install the add-on again.": (
        "Der Pfad zu Blenders Benutzerordner ist für Windows zu lang. BLENDER_USER_EXTENSIONS auf "
        "einen Ordner mit kurzem Pfad setzen, Blender neu starten und das Add-on erneut "
        "installieren."
    ),
    "The runtime could not be unpacked ({reason}). Free some disk and try again.": (
        "Die Laufzeitumgebung konnte nicht entpackt werden ({reason}). Speicherplatz freigeben und "
        "erneut versuchen."
    ),
    "The runtime could not be unpacked ({reason}). See that you may write there and that no "
    "antivirus holds the files, and try again.": (
        "Die Laufzeitumgebung konnte nicht entpackt werden ({reason}). Sicherstellen, dass dort "
        "geschrieben werden darf und kein Virenscanner die Dateien festhält, und es erneut "
        "versuchen."
    ),
    "The system ended the worker, probably because memory ran out. Choose a lower resolution or "
    "close other programs.": (
        "Das System hat den Worker beendet, vermutlich, weil der Speicher ausging. Eine geringere "
        "Auflösung wählen oder andere Programme schließen."
    ),
    "The worker closed its output.": "Der Worker hat seine Ausgabe geschlossen.",
    "The worker did not heed the cancel.": "Der Worker hat den Abbruch nicht beachtet.",
    "The worker ended unexpectedly (exit status {status}). Try again.": (
        "Der Worker ist unerwartet beendet worden (Exit-Status {status}). Erneut versuchen."
    ),
    "The worker has other sliders than the add-on. Reinstall the add-on so that all its parts "
    "have the same version.": (
        "Der Worker hat andere Regler als das Add-on. Das Add-on neu installieren, damit alle "
        "seine Teile die gleiche Version haben."
    ),
    "The worker sent something that is not a message ({reason}).": (
        "Der Worker hat etwas gesendet, das keine Nachricht ist ({reason})."
    ),
    "The worker speaks version {theirs} of the protocol and the add-on version {ours}. Install "
    "the add-on again and restart Blender.": (
        "Der Worker spricht Version {theirs} des Protokolls und das Add-on Version {ours}. Das "
        "Add-on neu installieren und Blender neu starten."
    ),
    "The worker's Python at {python} cannot be started ({reason}). {remedy}": (
        "Das Python des Workers unter {python} kann nicht gestartet werden ({reason}). {remedy}"
    ),
    "The worker's Python at {python} did not answer within {seconds:g} seconds. {remedy}": (
        "Das Python des Workers unter {python} hat nicht innerhalb von {seconds:g} Sekunden "
        "geantwortet. {remedy}"
    ),
    "The worker's Python at {python} ended before the worker was ready (exit status {status}, "
    "{last_line}). {remedy}": (
        "Das Python des Workers unter {python} endete, bevor der Worker bereit war (Exit-Status "
        "{status}, {last_line}). {remedy}"
    ),
    "The worker's Python at {python} is older than Python 3.11. {remedy}": (
        "Das Python des Workers unter {python} ist älter als Python 3.11. {remedy}"
    ),
    "The worker's answer is not a mesh that Blender can show. Reinstall the add-on so that all "
    "its parts have the same version.": (
        "Die Antwort des Workers ist kein Mesh, das Blender zeigen kann. Das Add-on neu "
        "installieren, damit alle seine Teile die gleiche Version haben."
    ),
    "There is no NVIDIA GPU here, or its driver is not installed (nvidia-smi is missing). Install "
    "NVIDIA's driver, or stay with the processor.": (
        "Hier gibt es keine NVIDIA-GPU, oder ihr Treiber ist nicht installiert (nvidia-smi fehlt). "
        "Den Treiber von NVIDIA installieren oder beim Prozessor bleiben."
    ),
    "This Blender comes without its Python program. Set a Python that has PyTorch in the add-on's "
    "preferences or in IMFACE_PYTHON.": (
        "Dieses Blender kommt ohne sein Python-Programm. In den Einstellungen des Add-ons oder in "
        "IMFACE_PYTHON ein Python angeben, das PyTorch hat."
    ),
    "This Blender's Python has no pip. Set a Python that has PyTorch with CUDA in the add-on's "
    "preferences instead.": (
        "Das Python dieses Blenders hat kein pip. Stattdessen in den Einstellungen des Add-ons ein "
        "Python angeben, das PyTorch mit CUDA hat."
    ),
    "Try again.": "Erneut versuchen.",
    "Unpacking PyTorch for the GPU": "PyTorch für die GPU wird entpackt",
    "no error output": "keine Fehlerausgabe",
    "{file} is missing or damaged. Install the add-on's zip again.": (
        "{file} fehlt oder ist beschädigt. Das Zip des Add-ons neu installieren."
    ),
}

#: What the worker does just now; short, for it stands in the panel behind the job.
_STEPS = {
    "Blending": "Überblenden",
    "Capturing detail": "Details erfassen",
    "Carrying the scan's colours over": "Farben des Scans übertragen",
    "Computing a known face": "Bekanntes Gesicht berechnen",
    "Drawing codes": "Codes ziehen",
    "Expression {name}": "Ausdruck {name}",
    "Face {number} of {count}": "Gesicht {number} von {count}",
    "Fitting the sliders": "Regler anpassen",
    "Fitting: placed": "Anpassen: platziert",
    "Fitting: {median} mm": "Anpassen: {median} mm",
    "In-betweens, frame {frame} of {count}": "Zwischenformen, Einzelbild {frame} von {count}",
    "Looking at what is visible": "Schauen, was zu sehen ist",
    "Looking for the face": "Gesicht suchen",
    "Measuring the detail": "Details messen",
    "Measuring the fit": "Anpassung messen",
    "Meshing the face": "Mesh erstellen",
}

#: What the worker cannot do.
_BACKEND = {
    "'{what}' cannot be blended. Choose identity, expression or both.": (
        "„{what}“ kann nicht überblendet werden. identity, expression oder both wählen."
    ),
    "A landmark has no position. Give all of them, or none.": (
        "Eine Landmarke hat keine Position. Alle angeben oder keine."
    ),
    "A library that PyTorch needs is missing ({reason}). Install Microsoft's Visual C++ "
    "Redistributable for x64 and try again.": (
        "Eine Bibliothek, die PyTorch braucht, fehlt ({reason}). Microsofts Visual C++ "
        "Redistributable für x64 installieren und es erneut versuchen."
    ),
    "All vertices of the scan lie in one point. Select a face scan.": (
        "Alle Punkte des Scans liegen an einer Stelle. Einen Gesichtsscan auswählen."
    ),
    "Hardly any of the scan is visible from the front. Select one that shows eyes, nose and "
    "mouth.": (
        "Vom Scan ist von vorn kaum etwas zu sehen. Einen auswählen, der Augen, Nase und Mund "
        "zeigt."
    ),
    "Memory ran out. Choose a lower resolution or close other programs.": (
        "Der Speicher reicht nicht. Eine geringere Auflösung wählen oder andere Programme "
        "schließen."
    ),
    "No face was found in the scan (the best match has an error of {error}, a face less than "
    "{limit}). Select one that shows eyes, nose and mouth, cut away the rest of the body, or show "
    "the face by landmarks.": (
        "Im Scan wurde kein Gesicht gefunden (die beste Übereinstimmung hat eine Abweichung von "
        "{error}, ein Gesicht weniger als {limit}). Einen Scan auswählen, der Augen, Nase und Mund "
        "zeigt, den Rest des Körpers abschneiden oder das Gesicht durch Landmarken zeigen."
    ),
    "No part of the scan lies where the face should be. Check its orientation.": (
        "Kein Teil des Scans liegt dort, wo das Gesicht sein sollte. Die Ausrichtung prüfen."
    ),
    "No surface lies where the face should be. Check the mesh, its orientation and its pose.": (
        "Wo das Gesicht sein sollte, liegt keine Oberfläche. Das Mesh, seine Ausrichtung und seine "
        "Lage prüfen."
    ),
    "The blend weight {weight} is out of range. Choose 0 to 1.": (
        "Das Gewicht {weight} liegt außerhalb des Bereichs. 0 bis 1 wählen."
    ),
    "The codes have format {theirs}; this version reads format {ours}. Update the add-on or make "
    "the codes again.": (
        "Die Codes haben das Format {theirs}, diese Version liest Format {ours}. Das Add-on "
        "aktualisieren oder die Codes neu erstellen."
    ),
    "The codes have the wrong length for this model. Make the face again.": (
        "Die Codes haben für dieses Modell die falsche Länge. Das Gesicht neu erstellen."
    ),
    "The codes hold values that are not numbers. Make the codes again.": (
        "Die Codes enthalten Werte, die keine Zahlen sind. Die Codes neu erstellen."
    ),
    "The field has no surface. Choose other codes or other weights.": (
        "Das Feld hat keine Oberfläche. Andere Codes oder andere Gewichte wählen."
    ),
    "The landmarks do not lie as those of a face, and without them none was found. Check their "
    "order and places.": (
        "Die Landmarken liegen nicht wie die eines Gesichts, und ohne sie wurde keines gefunden. "
        "Ihre Reihenfolge und ihre Stellen prüfen."
    ),
    "The landmarks do not lie on the scan. Give its own ones, in its coordinates.": (
        "Die Landmarken liegen nicht auf dem Scan. Seine eigenen angeben, in seinen Koordinaten."
    ),
    "The landmarks lie in one point or on one line. Place them anew.": (
        "Die Landmarken liegen an einer Stelle oder auf einer Linie. Sie neu setzen."
    ),
    "The model card {file} is damaged. Install the weights again.": (
        "Die Modellbeschreibung {file} ist beschädigt. Die Gewichte neu installieren."
    ),
    "The points of the scan lie in a few places only. Select a face scan.": (
        "Die Punkte des Scans liegen nur an wenigen Stellen. Einen Gesichtsscan auswählen."
    ),
    "The resolution {resolution} is out of range. Choose 16 to 512, usually 256.": (
        "Die Auflösung {resolution} liegt außerhalb des Bereichs. 16 bis 512 wählen, "
        "üblicherweise 256."
    ),
    "The scan has no faces. Select a mesh with at least {triangles} faces, or at least {points} "
    "points.": (
        "Der Scan hat keine Flächen. Ein Mesh mit mindestens {triangles} Flächen oder mindestens "
        "{points} Punkten auswählen."
    ),
    "The scan has only {count} triangles. Select a mesh with at least {least}.": (
        "Der Scan hat nur {count} Dreiecke. Ein Mesh mit mindestens {least} auswählen."
    ),
    "The seed {seed} is negative. Choose 0 or a positive number.": (
        "Der Startwert {seed} ist negativ. 0 oder eine positive Zahl wählen."
    ),
    "The slider {name}={value} is out of range. Choose -{most} to {most}.": (
        "Der Regler {name}={value} liegt außerhalb des Bereichs. -{most} bis {most} wählen."
    ),
    "The strength {strength} is out of range. Choose 0 to 5.": (
        "Die Stärke {strength} liegt außerhalb des Bereichs. 0 bis 5 wählen."
    ),
    "The weights file {file} is damaged or incomplete. Install it again.": (
        "Die Gewichtsdatei {file} ist beschädigt oder unvollständig. Sie neu installieren."
    ),
    "The weights file {file} is missing. Check its path, or install the add-on's zip again.": (
        "Die Gewichtsdatei {file} fehlt. Ihren Pfad prüfen oder das Zip des Add-ons neu "
        "installieren."
    ),
    "The worker met an unexpected error ({kind}: {reason}).": (
        "Im Worker ist ein unerwarteter Fehler aufgetreten ({kind}: {reason})."
    ),
    "The worker's Python at {python} has no {title}. Install {package} in it, or choose another "
    "Python in the preferences.": (
        "Das Python des Workers unter {python} hat kein {title}. {package} darin installieren oder "
        "in den Benutzereinstellungen ein anderes Python wählen."
    ),
    "There are {count} landmarks without three coordinates each. Give x, y and z.": (
        "Es gibt {count} Landmarken ohne je drei Koordinaten. x, y und z angeben."
    ),
    "There are {count} landmarks. Give five (corners of the eyes, tip of the nose, corners of the "
    "mouth) or the 68 of Multi-PIE, in order.": (
        "Es gibt {count} Landmarken. Fünf (Augenwinkel, Nasenspitze, Mundwinkel) oder die "
        "68 von Multi-PIE angeben, der Reihe nach."
    ),
    "There is no expression '{name}'. Use ARKit's names, such as jawOpen or eyeBlinkLeft, or "
    "FaceScape's, such as smile or lip_puckerer.": (
        "Es gibt keinen Ausdruck „{name}“. Namen von ARKit verwenden, etwa jawOpen oder "
        "eyeBlinkLeft, oder von FaceScape, etwa smile oder lip_puckerer."
    ),
    "There is no region '{name}'. Choose {regions}.": (
        "Es gibt keine Region „{name}“. {regions} wählen."
    ),
    "There is no slider '{name}'. Choose: {names}.": (
        "Es gibt keinen Regler „{name}“. Zur Wahl stehen: {names}."
    ),
    "There is no topology '{name}'. Choose one of {known}.": (
        "Es gibt keine Topologie „{name}“. Eine von {known} wählen."
    ),
    "These weights have no common topology (head.safetensors is missing). Use the surface "
    "topology, or the bundled weights.": (
        "Diese Gewichte haben keine gemeinsame Topologie (head.safetensors fehlt). Das Mesh "
        "„Oberfläche“ oder die mitgelieferten Gewichte verwenden."
    ),
    "This face was made with other model weights. Make it again with the installed ones.": (
        "Dieses Gesicht wurde mit anderen Modellgewichten erstellt. Es mit den installierten neu "
        "erstellen."
    ),
    "This is not a set of ImFace codes. Choose a .codes.json file written by ImFace.": (
        "Das sind keine Codes von ImFace. Eine von ImFace geschriebene Datei .codes.json wählen."
    ),
    "This model has no expression '{name}'. Leave it out.": (
        "Dieses Modell hat keinen Ausdruck „{name}“. Ihn weglassen."
    ),
    "The meshes in this file are compressed. Export it without compression.": (
        "Die Netze in dieser Datei sind komprimiert. Sie ohne Kompression exportieren."
    ),
    "The file is named .{name} but holds {kind}. Rename it to .{extension}.": (
        "Die Datei heißt .{name}, enthält aber {kind}. Sie in .{extension} umbenennen."
    ),
    "The file is damaged or holds no STL. Export it again.": (
        "Die Datei ist beschädigt oder enthält kein STL. Sie neu exportieren."
    ),
    "The OBJ file has texture coordinates but no faces: it was cut off. Export it again.": (
        "Die OBJ-Datei hat Texturkoordinaten, aber keine Flächen: Sie wurde abgeschnitten. Sie neu "
        "exportieren."
    ),
    "Faces of the scan name vertices that it does not have. Export it again.": (
        "Flächen des Scans nennen Punkte, die er nicht hat. Ihn neu exportieren."
    ),
    "{count} vertices of the scan have no valid position (NaN or infinite). Delete them and try "
    "again.": (
        "{count} Punkte des Scans haben keine gültige Position (NaN oder unendlich). Sie löschen "
        "und erneut versuchen."
    ),
    "{device} computes a known face wrongly, by {off} mm. Choose another Python in the "
    "preferences, one without that device.": (
        "{device} berechnet ein bekanntes Gesicht falsch, um {off} mm. In den "
        "Benutzereinstellungen ein anderes Python wählen, eines ohne dieses Gerät."
    ),
    "{file} does not hold a complete model. Install the weights again.": (
        "{file} enthält kein vollständiges Modell. Die Gewichte neu installieren."
    ),
    "{file} has format version {theirs}, this program reads {ours}. Use weights and add-on of the "
    "same release.": (
        "{file} hat die Formatversion {theirs}, dieses Programm liest {ours}. Gewichte und Add-on "
        "derselben Version verwenden."
    ),
    "{file} is not an ImFace weights file. Choose another file.": (
        "{file} ist keine Gewichtsdatei von ImFace. Eine andere Datei wählen."
    ),
    "{file} is not the file its model card describes. Install the weights again.": (
        "{file} ist nicht die Datei, die die Modellbeschreibung nennt. Die Gewichte neu "
        "installieren."
    ),
}

TEXTS = (
    _INTERFACE
    | _TOOLTIPS
    | _SLIDERS
    | _REPORTS
    | _REASONS
    | _ERRORS
    | _CAPTURE
    | _WORKER
    | _STEPS
    | _BACKEND
)
